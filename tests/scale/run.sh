#!/usr/bin/env bash
# Runs scale_test.py: run.sh MODELS NATIVE, where the names of the flower models begin with MODELS and the package's native part is
# that of a build.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export OCTET_TEST_MODELS=$1 OCTET_PYTHON_NATIVE=$2 PYTHONDONTWRITEBYTECODE=1
exec python3 "$source/tests/scale/scale_test.py" "${@:3}"
