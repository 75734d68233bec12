#!/usr/bin/env bash
# clang-tidy's checks (.clang-tidy) over everything but the tests. Some ten minutes on two cores: with OCTET_TIDY=1 alone.
# Usage: tidy.sh SCRATCH_FOLDER
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ "${OCTET_TIDY:-}" != 1 ]; then
  echo 'skipped: OCTET_TIDY=1 asks for it'
  exit 77
fi
for tool in clang-tidy-14 clang++-14; do
  command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
cmake -S . -B "$1/tidy" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14 \
  -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DOCTET_BUILD_TESTS=OFF >/dev/null
# Headers that the build makes.
cmake --build "$1/tidy" --target octet_tflite_schema -- --quiet
find bench converter engine formats kernels -name '*.cc' -not -path '*/arm/*' -not -path 'engine/examples/*' -print0 |
  xargs -0 -n 4 -P "$(nproc)" clang-tidy-14 -p "$1/tidy" --quiet 2>/dev/null
