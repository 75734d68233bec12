#!/usr/bin/env bash
# Builds the wheel, as pip does it, installs it into a fresh environment and runs octet_test.py there: wheel.sh MODELS WORK.
# 77: not asked for, as the first time takes as long as building everything, or pip cannot have what it needs.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
models=$1 work=$2
skip() {
  echo "skipped: $1"
  exit 77
}
fail() {
  echo "$1" >&2
  exit 1
}
[ "${OCTET_WHEEL:-}" = 1 ] || skip 'set OCTET_WHEEL=1 to build the wheel'
rm -rf "$work" && mkdir -p "$work"
python3 -m venv "$work/venv" 2>/dev/null || skip 'python3 has no venv'
"$work/venv/bin/pip" install -q numpy scikit-build-core || skip 'pip cannot have numpy and scikit-build-core'
"$work/venv/bin/pip" wheel -q --no-deps --no-build-isolation -w "$work" "$source/engine/python"

version=$(sed -n 's/#define OCTET_VERSION "\(.*\)"/\1/p' "$source/engine/include/octet/version.h")
wheel=$work/octet-$version-py3-none-linux_$(uname -m).whl
[ -f "$wheel" ] || fail "found $(cd "$work" && echo *.whl), expected $(basename "$wheel")"
bytes=$(stat -c %s "$wheel")
echo "$(basename "$wheel"): $bytes bytes"
[ "$bytes" -le 4000000 ] || fail "expected at most 4,000,000 bytes"
"$work/venv/bin/pip" uninstall -q -y scikit-build-core
"$work/venv/bin/pip" install -q --no-deps "$wheel"

# Nothing but the C library, and what is beside it.
native=$(cd / && "$work/venv/bin/python" -c 'import os, octet; print(os.path.join(os.path.dirname(octet.__file__), "_native"))')
for file in "$native"/*; do
  for needed in $(readelf --dynamic "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    case $needed in
      libc.so.* | libm.so.* | ld-linux*) ;;
      *) [ -e "$native/$needed" ] || fail "$(basename "$file") needs $needed" ;;
    esac
  done
done
[ "$("$work/venv/bin/octet" --version)" = "$("$native/octet" --version)" ] || fail 'octet is another program'
"$work/venv/bin/octet_convert" --version
cd "$work"
OCTET_TEST_MODELS=$models exec "$work/venv/bin/python" -W error -B "$source/tests/python/octet_test.py"
