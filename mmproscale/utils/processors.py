"""Processors that this process may use."""

import os


def usable_cores() -> int:
    """Return the number of cores that this process may use, which the machine may exceed."""
    allowed = getattr(os, "sched_getaffinity", None)  # only Linux has it
    return len(allowed(0)) if allowed else os.cpu_count() or 1
