"""Processes of which one ends without a word, and the report of those that are left."""

import os
import time

import torch

from mmproscale.utils.processes import lost_process, reports_first


def leave_without_a_word(rank: int) -> list:
    if rank == 1:
        os._exit(9)
    started = time.monotonic()
    try:
        torch.distributed.all_reduce(torch.ones(1))
    except RuntimeError as error:
        try:
            raise KeyError("in a hook") from error
        except KeyError as outer:
            return [
                lost_process(outer),
                lost_process(RuntimeError("a bug")),
                time.monotonic() - started,
            ]
    return []


def ask_who_reports(rank: int) -> list[bool]:
    return [reports_first(), reports_first()]
