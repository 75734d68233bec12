#!/usr/bin/env bash
# Builds the fuzz preset and runs every target.
#   tests/fuzz/run.sh SECONDS [TARGET...]   e.g. tests/fuzz/run.sh 600 onnx tflite
# Corpora grow in build/fuzz/corpus/TARGET and what crashes in build/fuzz/crashes/TARGET, both kept between calls. Prints a table
# at the end; fails when any target found something. JOBS=N runs as many targets at once (1). PRESET=fuzz-fast runs without the
# sanitizers, several times as fast, on the same corpora: what it added is looked at by the sanitizers when fuzz runs again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1:?seconds for each target}
shift
export preset=${PRESET:-fuzz}
cmake --preset "$preset" > /dev/null
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  mapfile -t targets < <(grep -l '^extern "C" int LLVMFuzzerTestOneInput' tests/fuzz/targets/*.cc | sed -E 's|.*/(.*)\.cc|\1|')
fi
ninja -C "build/$preset" "${targets[@]/#/fuzz_}"

# Waiting threads sleep instead of spinning.
export OMP_WAIT_POLICY=passive
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

# An input may take 100 s of the clock: at nice 19 that is little. A fuzzer ends with what it finds; it is started again until its time is over.
run() {
  local target=$1
  local corpus=build/fuzz/corpus/$target crashes=build/fuzz/crashes/$target log=build/$preset/$target.log
  mkdir -p "$corpus" "$crashes"
  OCTET_WRITE_CORPUS=$corpus "build/$preset/tests/fuzz/fuzz_$target" > /dev/null
  : > "$log"
  local end=$((SECONDS + seconds))
  while [ "$SECONDS" -lt "$end" ]; do
    nice -n 19 "build/$preset/tests/fuzz/fuzz_$target" -max_total_time=$((end - SECONDS)) -print_final_stats=1 -print_funcs=0 -rss_limit_mb=2048 \
      -timeout=100 -report_slow_units=100 -max_len=65536 -artifact_prefix="$crashes/" "$corpus" >> "$log" 2>&1 || true
  done
}

export -f run
export seconds
printf '%s\n' "${targets[@]}" | xargs -P "${JOBS:-1}" -I{} bash -c 'run {}'

status=0
printf '%-16s %12s %8s %8s %8s\n' target executions edges corpus findings
for target in "${targets[@]}"; do
  log=build/$preset/$target.log
  executions=$(awk '/^stat::number_of_executed_units:/ { n += $2 } END { print n + 0 }' "$log")
  edges=$(grep -oE '\bcov: [0-9]+' "$log" | awk '$2 > n { n = $2 } END { print n + 0 }')
  found=$(find "build/fuzz/crashes/$target" -type f | wc -l)
  printf '%-16s %12s %8s %8s %8s\n' "$target" "$executions" "$edges" "$(find "build/fuzz/corpus/$target" -type f | wc -l)" "$found"
  [ "$found" -eq 0 ] || status=1
done
exit "$status"
