"""Processes that torchrun started, brought together for a tool that is not mmengine's Runner."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed

# One may be done hours before another.
PATIENCE = timedelta(days=7)


@contextmanager
def joined_processes() -> Iterator[None]:
    """Join those of torchrun, if it started this one; what they say goes over gloo, by CPU."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or distributed.is_initialized():
        yield
        return
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def own_device() -> str | None:
    """The GPU that is this process's of those that torchrun started; None where it did not."""
    if torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return None
