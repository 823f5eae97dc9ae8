#!/usr/bin/env bash
# Train by several processes: tools/dist_train.sh CONFIG PROCESSES [OPTIONS OF train.py]
# One process for each GPU, or any number on CPUs. For several machines NNODES, NODE_RANK, MASTER_ADDR
# and PORT, as in mmdet.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG PROCESSES [OPTIONS OF train.py]" >&2
    exit 2
fi
tools="$(dirname "$0")"
exec "${PYTHON:-python}" "$tools/launch.py" \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" ${PORT:+--master_port="$PORT"} \
    --nproc_per_node="$2" \
    "$tools/train.py" "$1" --launcher pytorch "${@:3}"
