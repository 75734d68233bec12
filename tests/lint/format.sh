#!/usr/bin/env bash
# Fails when a C++ file is not as .clang-format has it. Versions of clang-format differ in details: 14 is Debian 12's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
format=$(command -v clang-format-14 || command -v clang-format || true)
if [ -z "$format" ] || ! "$format" --version | grep -q 'version 14\.'; then
  echo 'skipped: clang-format 14 is not installed'
  exit 77
fi
find bench converter engine formats kernels tests -name '*.cc' -o -name '*.h' |
  xargs -n 40 -P "$(nproc)" "$format" --dry-run -Werror
