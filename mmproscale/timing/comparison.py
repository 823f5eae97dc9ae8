"""Candidates side by side: the times of all in one run, the peak memory of each by itself."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from mmproscale.timing import memory
from mmproscale.timing.measurement import Run, Stopwatch, measure, summarize
from mmproscale.utils.progress import progress_bars


@dataclass(frozen=True)
class Prepared:
    """A candidate that is ready to run.

    Args:
        run: What is measured.
        warm_up: The same, tiny: what a memory measurement has run before.
    """

    run: Run
    warm_up: Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One comparison.

    Args:
        name: What is measured, for people.
        settings: The same for programs.
        candidates: What makes each candidate ready, by name; ratios are to the first.
    """

    name: str
    settings: Mapping[str, Any]
    candidates: Mapping[str, Callable[[], Prepared]]


def compare(
    cases: Sequence[Case], args: argparse.Namespace, script: str, arguments: Sequence[str]
) -> list[dict[str, Any]]:
    """Times of each case's candidates and, if wanted, their peak memory.

    Args:
        cases: In the order in which they are measured.
        args: Options as ``add_measuring_options`` knows them.
        script: The script to ask for a candidate's memory, in a process of its own.
        arguments: What it is called with; it answers by :func:`answer_memory`.
    """
    with progress_bars() as bars:
        measured = []
        for index, case in enumerate(cases):
            task = bars.add_task(case.name, total=args.rounds + args.warm_up)
            measured.append(_measure(case, args, partial(bars.advance, task)))
            if not args.no_memory:
                ask = [*arguments, "--memory-of", str(index)]
                _add_memory(measured[-1], case, args.device, script, ask)
        return measured


def answer_memory(cases: Sequence[Case], args: argparse.Namespace) -> bool:
    """Print the peak that ``--memory-of`` asks for; False if it does not ask."""
    if not args.memory_of:
        return False
    index, candidate = args.memory_of
    prepared = cases[int(index)].candidates[candidate]()
    print(json.dumps(_peak(prepared, args.device)))
    return True


def _measure(
    case: Case, args: argparse.Namespace, after_round: Callable[[], object]
) -> dict[str, Any]:
    synchronize = torch.cuda.synchronize if args.device == "cuda" else lambda: None
    samples = measure(
        {name: prepare().run for name, prepare in case.candidates.items()},
        args.rounds,
        args.warm_up,
        partial(Stopwatch, synchronize),
        after_round,
    )
    return {
        "name": case.name,
        "settings": dict(case.settings),
        "rounds": args.rounds,
        "candidates": summarize(samples),
    }


def _add_memory(
    measured: dict[str, Any], case: Case, device: str, script: str, ask: Sequence[str]
) -> None:
    for candidate in measured["candidates"]:
        name = candidate["name"]
        if device == "cuda":
            peak = _peak(case.candidates[name](), device)
        else:
            peak = memory.peak_in_a_child(script, [*ask, name])
        candidate["peak_memory_mib"] = peak


def _peak(prepared: Prepared, device: str) -> float:
    measure_peak = memory.peak_on_cuda if device == "cuda" else memory.peak_on_cpu
    return measure_peak(lambda: prepared.run(Stopwatch()), prepared.warm_up)
