#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test through CTest. OCTET_DATA_DIR names outside data (README).
source "$(dirname "${BASH_SOURCE[0]}")/../bench/setup.sh"
install_missing "${octet_packages[@]}"
configure_and_build

log=build/release/tests.log
status=0
ctest --test-dir build/release -j "$(nproc)" --output-on-failure "$@" | tee "$log" || status=$?
echo "skipped parts of tests (outside data missing):"
grep -rh --include=LastTest.log -o '^\[  SKIPPED \] [^ ]*' build/release/Testing/Temporary 2>/dev/null | sort -u | head -50 || true
exit "$status"
