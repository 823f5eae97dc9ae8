"""Candidates next to each other: times measured in turns, peak memory of each, and their table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from mmproscale.timing.measured_memory import peak_in_a_child, peak_on_cpu, peak_on_cuda
from mmproscale.timing.measurement import Run, Stopwatch, measure, summarize
from mmproscale.utils.progress import progress_bars

NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Prepared:
    """A candidate that is ready to run.

    Args:
        run: The call to measure.
        warm_up: The same call with tiny inputs, which precedes a measurement of memory.
        memory: Returns the candidate's memory in MiB, where it is not the peak of one process.
    """

    run: Run
    warm_up: Callable[[], object]
    memory: Callable[[], float] | None = None


@dataclass(frozen=True)
class Case:
    """One comparison.

    Args:
        name: Title for people.
        settings: The same for programs.
        candidates: Name -> function that prepares the candidate; ratios are to the first.
    """

    name: str
    settings: Mapping[str, Any]
    candidates: Mapping[str, Callable[[], Prepared]]


def compare(
    cases: Sequence[Case], args: argparse.Namespace, script: str, arguments: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the times and, unless ``--no-memory`` is given, the peak memory of all candidates.

    Args:
        cases: Cases in the order of measurement.
        args: Options of ``add_measuring_options``.
        script: The script that reports a candidate's memory in a process of its own.
        arguments: The script's arguments; it answers with :func:`answer_memory`.
    """
    with progress_bars() as bars:
        measured = []
        for index, case in enumerate(cases):
            task = bars.add_task(case.name, total=args.rounds + args.warm_up)
            measured.append(measure_case(case, args, partial(bars.advance, task)))
            if not args.no_memory:
                ask = [*arguments, "--memory-of", str(index)]
                _add_memory(measured[-1], case, args.device, script, ask)
        return measured


def answer_memory(cases: Sequence[Case], args: argparse.Namespace) -> bool:
    """Print the peak memory that ``--memory-of`` asks for; return False without that option."""
    if not args.memory_of:
        return False
    index, candidate = args.memory_of
    prepared = cases[int(index)].candidates[candidate]()
    print(json.dumps(_peak(prepared, args.device)))
    return True


def measure_case(
    case: Case, args: argparse.Namespace, after_round: Callable[[], object]
) -> dict[str, Any]:
    """Return the times of all candidates of a case; arguments as for :func:`compare`."""
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
            peak = peak_in_a_child(script, [*ask, name])
        candidate["peak_memory_mib"] = peak


def _peak(prepared: Prepared, device: str) -> float:
    if prepared.memory is not None:
        return prepared.memory()
    measure_peak = peak_on_cuda if device == "cuda" else peak_on_cpu
    return measure_peak(lambda: prepared.run(Stopwatch()), prepared.warm_up)


def table_rows(case: Mapping[str, Any]) -> list[list[str]]:
    """Return heading and rows of one case that :func:`compare` measured.

    A cell is the median time in ms; from the second candidate on, the ratio to the first and its
    quartiles follow. ``-`` stands for a part that a candidate does not have.
    """
    candidates = case["candidates"]
    table = [["", *(candidate["name"] for candidate in candidates)]]
    for part in _all_parts(candidates):
        cells = [_time(c["parts"].get(part), first=not i) for i, c in enumerate(candidates)]
        table.append([part, *cells])
    memory = [candidate.get("peak_memory_mib") for candidate in candidates]
    if any(mib is not None for mib in memory):
        table.append(["peak memory", *(_memory(mib) for mib in memory)])
    return table


def _all_parts(candidates: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return every part once; a later candidate's extra part precedes the part that follows it."""
    order: list[str] = []
    for candidate in candidates:
        place = len(order)
        for part in reversed(candidate["parts"]):
            if part not in order:
                order.insert(place, part)
            place = order.index(part)
    return order


def _time(part: Mapping[str, Any] | None, first: bool) -> str:
    if part is None:
        return "-"
    text = f"{_significant(part['ms']['median'])}{NO_BREAK}ms"
    if first or "ratio" not in part:
        return text
    low, high = part["ratio"]["quartiles"]
    return f"{text}, {part['ratio']['median']:.2f} ({low:.2f} to {high:.2f})"


def _memory(mib: float | None) -> str:
    return "-" if mib is None else f"{_significant(mib)}{NO_BREAK}MiB"


def _significant(number: float) -> str:
    """Format with three significant digits, at most three decimals: 0.123, 1.23, 12.3, 1,234."""
    decimals = next((d for d, least in ((0, 99.95), (1, 9.995), (2, 0.9995)) if number >= least), 3)
    return f"{number:,.{decimals}f}"
