#!/usr/bin/env bash
# Scores images by processes of one machine, with xargs or, with TOOL=parallel, GNU parallel:
#     score_xargs.sh MODEL OUTPUT SHARDS JOBS IMAGES...
# SHARDS is a few times JOBS; IMAGES is what `octet score` takes. OUTPUT/rows.jsonl and OUTPUT/report.json are those of a
# single run, byte by byte. A process that dies is begun again, and so is the whole: shards that are done stay done, as
# each is there, under a name made of model, data and number, when it is whole.
set -euo pipefail
model=$1 output=$2 shards=$3 jobs=$4
shift 4
export model parts=$output/parts shards

one_shard() {
  # Not 255 or a signal, for which xargs would give up and leave the others running.
  octet score --model "$model" --shard "$1/$shards" --output "$parts" --threads 1 "${@:2}" 2>>"$parts/log" || return 1
}
export -f one_shard
mkdir -p "$parts"
for _ in $(seq "${ATTEMPTS:-10}"); do
  if [ "${TOOL:-xargs}" = parallel ]; then
    seq 0 $((shards - 1)) | parallel --will-cite -j "$jobs" --retries 3 -q bash -c 'one_shard {} "$@"' - "$@" && done=yes
  else
    seq 0 $((shards - 1)) | xargs -P "$jobs" -I{} bash -c 'one_shard {} "$@"' - "$@" && done=yes
  fi
  [ "${done:-}" != yes ] || break
done
if [ "${done:-}" != yes ]; then
  tail -n 3 "$parts/log" >&2
  exit 1
fi
octet merge "$parts" --output "$output/rows.jsonl" --json > "$output/report.json.tmp"
mv "$output/report.json.tmp" "$output/report.json"
