#!/usr/bin/env bash
# Runs octet_test.py by the first python3 that has NumPy: run.sh MODELS NATIVE, where the package's native part is that of a
# build. 77: there is none.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
for python in python3 /usr/bin/python3; do
  if "$python" -c 'import numpy, sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
    export OCTET_TEST_MODELS=$1 OCTET_PYTHON_NATIVE=$2 PYTHONPATH=$source/engine/python/src PYTHONDONTWRITEBYTECODE=1
    exec "$python" -W error "$source/tests/python/octet_test.py"
  fi
done
echo 'skipped: no python3 with NumPy'
exit 77
