#!/usr/bin/env bash
# Installs what the recipes of engine/python/examples run on: Spark, Ray and Dask from PyPI in an environment of their own,
# $OCTET_SCALE_VENV or build/scale-venv (1.5 GB), and Java, Slurm and GNU parallel from Debian. A second run is quick.
# Usage: tests/scale/setup.sh. What cannot be had is said, and its tests are skipped.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=${OCTET_SCALE_VENV:-$PWD/build/scale-venv}
status=0

# install FILE PACKAGE...: from Debian, unless FILE is there.
install() {
  local file=$1 run=()
  shift
  [ ! -e "$file" ] || return 0
  [ "$(id -u)" = 0 ] || run=(sudo)
  "${run[@]}" apt-get update -qq
  if ! "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; then
    echo "$*: could not be installed; its tests will be skipped" >&2
    status=1
  fi
}

install /usr/bin/java openjdk-17-jre-headless
install /usr/bin/sbatch slurm-wlm munge
install /usr/bin/parallel parallel
if [ ! -e "$venv/complete" ]; then
  rm -rf "$venv"
  if "${PYTHON:-python3}" -m venv "$venv" &&
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy 'pandas<3' pillow pyarrow 'dask[distributed]' &&
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check pyspark &&
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check 'ray[data]'; then
    touch "$venv/complete"
  else
    echo "$venv: could not be made; tests of Spark, Ray and Dask will be skipped" >&2
    rm -rf "$venv"
    status=1
  fi
fi
echo "$venv/bin/python"
exit "$status"
