#!/usr/bin/env bash
#SBATCH --job-name=octet-score
#SBATCH --cpus-per-task=1
#SBATCH --requeue
# Scores images by an array of jobs:
#     score_slurm.sh MODEL OUTPUT SHARDS IMAGES...
# submits them, and a job that merges when all are done; it prints the number of that. OUTPUT is a folder that all nodes
# see, IMAGES is what `octet score` takes. OUTPUT/rows.jsonl and OUTPUT/report.json are those of a single run, byte by
# byte. Tasks that are begun again, by Slurm or by hand, find a shard that is done, under a name made of model, data and
# number; it is there when it is whole.
set -euo pipefail
model=$1 output=$2 shards=$3
parts=$output/parts
shift 3

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  for _ in 1 2 3; do
    octet score --model "$model" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --output "$parts" \
      --threads "${SLURM_CPUS_PER_TASK:-1}" "$@" && exit
  done
  exit 1
elif [ "${OCTET_MERGE:-}" = yes ]; then
  octet merge "$parts" --output "$output/rows.jsonl" --json > "$output/report.json.tmp"
  mv "$output/report.json.tmp" "$output/report.json"
else
  mkdir -p "$parts"
  array=$(sbatch --parsable --array="0-$((shards - 1))" --output="$parts/log-%A-%a" \
    "$0" "$model" "$output" "$shards" "$@")
  sbatch --parsable --dependency="afterok:$array" --kill-on-invalid-dep=yes --output="$parts/log-merge" \
    --export=ALL,OCTET_MERGE=yes "$0" "$model" "$output" "$shards" "$@"
fi
