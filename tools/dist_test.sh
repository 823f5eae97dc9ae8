#!/usr/bin/env bash
# Evaluate by several processes: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [OPTIONS OF test.py]
# One process for each GPU, or any number on CPUs. For several machines NNODES, NODE_RANK, MASTER_ADDR
# and PORT, as in mmdet.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT PROCESSES [OPTIONS OF test.py]" >&2
    exit 2
fi
tools="$(dirname "$0")"
exec "${PYTHON:-python}" "$tools/launch.py" \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" ${PORT:+--master_port="$PORT"} \
    --nproc_per_node="$3" \
    "$tools/test.py" "$1" "$2" --launcher pytorch "${@:4}"
