#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test through CTest; on x86-64 then the tests of tests/aarch64 under qemu.
# Arguments go to ctest. OCTET_DATA_DIR names outside data (README).
source "$(dirname "${BASH_SOURCE[0]}")/../bench/setup.sh"
presets=(release)
packages=("${octet_packages[@]}")
if [ "$(uname -m)" = x86_64 ]; then
  presets+=(aarch64)
  packages+=("${octet_aarch64_packages[@]}")
fi
install_missing "${packages[@]}"

status=0
for preset in "${presets[@]}"; do
  configure_and_build "$preset"
  ctest --test-dir "build/$preset" -j "$(nproc)" --output-on-failure "$@" | tee "build/$preset/tests.log" || status=$?
  # Which instruction sets ran whole networks, and arrived at the same bits.
  grep -hs 'activations compared' "build/$preset/Testing/Temporary/LastTest.log" || true
done
echo "skipped parts of tests (outside data missing):"
grep -rh --include=LastTest.log -o '^\[  SKIPPED \] [^ ]*' build/release/Testing/Temporary 2>/dev/null | sort -u | head -50 || true
exit "$status"
