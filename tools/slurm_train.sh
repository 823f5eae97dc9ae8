#!/usr/bin/env bash
# Train on Slurm: [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=...] \
#     tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [OPTIONS OF train.py]
# GPUS is the number of processes. GPUS_PER_NODE=0 takes none: the processes then run on CPUs.
set -euo pipefail
if [ $# -lt 4 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [OPTIONS OF train.py]" >&2
    exit 2
fi
processes="${GPUS:-8}"
gpus_per_node="${GPUS_PER_NODE:-$((processes < 8 ? processes : 8))}"
if [ "$gpus_per_node" -gt 0 ]; then
    devices=(--gres="gpu:$gpus_per_node" --ntasks-per-node="$gpus_per_node")
else
    devices=()
fi
# Where a process is lost, --kill-on-bad-exit ends the others. SRUN_ARGS is split into words.
exec srun --partition="$1" --job-name="$2" "${devices[@]}" \
    --ntasks="$processes" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$3" --work-dir "$4" --launcher slurm "${@:5}"
