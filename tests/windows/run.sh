#!/usr/bin/env bash
# Cross-builds for Windows in build/windows and runs tests/windows under wine, with OCTET_WINDOWS=1 alone: the first time takes a
# quarter of an hour on two cores. Usage: run.sh BUILD_FOLDER, of which octet, octet_convert and same_bits_test are used
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ "${OCTET_WINDOWS:-}" != 1 ]; then
  echo 'skipped: OCTET_WINDOWS=1 asks for it'
  exit 77
fi
for file in /usr/bin/x86_64-w64-mingw32-g++-posix /usr/x86_64-w64-mingw32/lib/libz.a /usr/lib/wine/wine64 /usr/src/googletest; do
  [ -e $file ] || { echo "skipped: $file is not installed (tests/README.md)"; exit 77; }
done
cmake --preset windows -DOCTET_HOST_BUILD="$1" >/dev/null
cmake --build --preset windows -- --quiet
# One Windows for all, before several programs start at once.
WINEPREFIX=$PWD/build/windows/wine WINEDEBUG=-all DISPLAY= /usr/lib/wine/wine64 wineboot --init >/dev/null 2>&1
ctest --preset windows -j "$(nproc)"
