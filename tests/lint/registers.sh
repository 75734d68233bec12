#!/usr/bin/env bash
# Whether the kernels' sums are in registers: registers.py. Compilers differ, and nothing is said of others than Debian 12's.
# Usage: registers.sh COMPILER OBJDUMP OBJECT...
set -euo pipefail
case "$1" in
  'GNU 12.'*' -O3') ;;
  *) echo "skipped: compiled by $1, expected GNU 12 with -O3"; exit 77 ;;
esac
command -v python3 >/dev/null || { echo 'skipped: python3 is not installed'; exit 77; }
exec python3 "$(dirname "${BASH_SOURCE[0]}")/registers.py" "${@:2}"
