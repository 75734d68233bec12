#!/usr/bin/env bash
# Makes virtual environments with the frameworks whose exporters the tests run, CPU builds from PyPI, and prints the variables
# that exporters_test reads. Usage: eval "$(tests/golden/setup_exporters.sh)"; the environments go to build/exporters.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD/build/exporters
# make NAME VARIABLE PACKAGE...
make() {
  local folder=$root/$1 variable=$2
  shift 2
  if [ ! -e "$folder/complete" ]; then
    python3 -m venv "$folder" >&2
    "$folder/bin/pip" install --quiet "$@" >&2 || { echo "$variable: cannot install $*; its tests will be skipped" >&2; return 0; }
    touch "$folder/complete"
  fi
  echo "export $variable=$folder/bin/python"
}
make tensorflow OCTET_TENSORFLOW_PYTHON tensorflow-cpu keras numpy
make torch OCTET_TORCH_PYTHON torch numpy
