#!/usr/bin/env bash
# Cross-builds for Windows and runs tests/windows under wine. A quarter of an hour on two cores: with OCTET_WINDOWS=1 alone.
# Usage: run.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ "${OCTET_WINDOWS:-}" != 1 ]; then
  echo 'skipped: OCTET_WINDOWS=1 asks for it'
  exit 77
fi
for file in /usr/bin/x86_64-w64-mingw32-g++-posix /usr/x86_64-w64-mingw32/lib/libz.a /usr/lib/wine/wine64 /usr/src/googletest; do
  [ -e $file ] || { echo "skipped: no $file (g++-mingw-w64-x86-64-posix libz-mingw-w64-dev wine64 googletest)"; exit 77; }
done
cmake --preset windows >/dev/null
cmake --build --preset windows -- --quiet
ctest --preset windows -j "$(nproc)"
