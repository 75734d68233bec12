#!/usr/bin/env bash
# A Slurm of this machine alone, without a service: slurm_node.sh FOLDER COMMAND... starts it with all its state in FOLDER, runs
# the command, waits until its jobs are over and ends it. Needs root, as Slurm's daemons do. The command's exit code.
set -euo pipefail
folder=$(realpath "$1")
shift
PATH=$PATH:/usr/sbin
export SLURM_CONF=$folder/slurm.conf
processes=()
finish() {
  local i
  for ((i = ${#processes[@]} - 1; i >= 0; --i)); do
    kill "${processes[i]}" 2>/dev/null && wait "${processes[i]}" 2>/dev/null
  done
  true
}
trap finish EXIT

mkdir -p "$folder/state" "$folder/spool" "$folder/munge"
chmod 700 "$folder/munge"
head -c 1024 /dev/urandom > "$folder/munge/key"
chmod 400 "$folder/munge/key"
host=$(hostname -s)
port=$((20000 + $$ % 20000))
cat > "$SLURM_CONF" <<EOF
ClusterName=octet
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MaxArraySize=10000
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
EOF
munged --foreground --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
  --seed-file="$folder/munge/seed" >"$folder/munged.log" 2>&1 &
processes+=($!)
for _ in $(seq 100); do [ ! -S "$folder/munge/socket" ] || break; sleep 0.1; done
slurmctld -D -c >"$folder/slurmctld.log" 2>&1 &
processes+=($!)
slurmd -D >"$folder/slurmd.log" 2>&1 &
processes+=($!)
for _ in $(seq 300); do
  [ "$(sinfo -h -o %T 2>/dev/null)" != idle ] || break
  sleep 0.1
done
if [ "$(sinfo -h -o %T 2>/dev/null)" != idle ]; then
  tail -n 5 "$folder"/*.log >&2
  exit 1
fi
"$@"
while [ -n "$(squeue -h)" ]; do sleep 0.2; done
