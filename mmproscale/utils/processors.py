"""Processors that this process may use, and how long processes wait for each other."""

import os
from datetime import timedelta

# One process may finish hours before another.
PATIENCE = timedelta(days=7)


def usable_cores() -> int:
    """Return the number of cores that this process may use, which the machine may exceed."""
    allowed = getattr(os, "sched_getaffinity", None)  # only Linux has it
    return len(allowed(0)) if allowed else os.cpu_count() or 1
