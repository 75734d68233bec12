#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test through CTest; on x86-64 then the tests of tests/aarch64 under qemu.
# Arguments go to ctest. OCTET_DATA_DIR names outside data (tests/README.md).
source "$(dirname "${BASH_SOURCE[0]}")/../bench/setup.sh"
presets=(release)
packages=("${octet_packages[@]}" clang-format python3-numpy libtbb-dev parallel)
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
# What was skipped, by reason; instruction sets that this processor lacks are one line.
awk '/: Skipped$/ { getline reason }
     /^\[  SKIPPED \] .* ms\)$/ {
       if (sub(/ does not run here$/, "", reason)) sets[reason]
       else tests[reason] = tests[reason] "\n    " $4
     }
     END {
       for (set in sets) list = list " " set
       if (list != "") print "instruction sets that do not run here:" list
       for (reason in tests) print "skipped, " reason ":" tests[reason]
     }' build/release/Testing/Temporary/LastTest.log
exit "$status"
