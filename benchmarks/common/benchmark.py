"""What every benchmark does: options, measuring each case, a JSON of results, tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from common import memory, tables
from common.measurement import Run, Stopwatch, measure, summarize
from mmproscale.apis.progress import progress_bars
from mmproscale.compat.versions import installed_version
from mmproscale.engine.atomic_files import atomic_write_text
from mmproscale.errors import InputError

RESULTS = Path(__file__).resolve().parents[1] / "results"


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


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=at_least(1), help="of a CPU; as PyTorch chooses, if not")
    parser.add_argument("--rounds", type=at_least(1), default=9, help="how many count")
    parser.add_argument("--warm-up", type=at_least(0), default=2, help="rounds before them")
    parser.add_argument("--no-memory", action="store_true", help="leave the peak memory out")
    parser.add_argument("--amp", action="store_true", help="autocast: fp16 on CUDA, bf16 on a CPU")
    parser.add_argument("--out", help="the JSON; benchmarks/results/NAME_DEVICE.json, if not given")
    # What a child process is asked: the peak of one candidate of one case.
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    return parser


def at_least(least: int) -> Callable[[str], int]:
    """A type for argparse: a whole number that is not smaller."""

    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    number.__name__ = "int"  # argparse says: invalid int value
    return number


def set_up(args: argparse.Namespace) -> None:
    """Check the device and set the threads.

    Raises:
        InputError: ``--device cuda`` without a GPU.
    """
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no GPU here")
    if args.device == "cpu" and not args.no_memory:
        memory.check_memory_can_be_read()
    if args.threads:
        torch.set_num_threads(args.threads)


def autocast(args: argparse.Namespace) -> torch.autocast:
    """Mixed precision, if ``--amp`` asks for it."""
    return torch.autocast(args.device, amp_dtype(args.device), enabled=args.amp)


def amp_dtype(device: str) -> torch.dtype:
    """What autocast computes in: mmcv's compiled op has no bf16, a CPU has no fast fp16."""
    return torch.float16 if device == "cuda" else torch.bfloat16


def run_benchmark(script: str, args: argparse.Namespace, cases: Sequence[Case], title: str) -> None:
    """Measure every case, write the results and show them; or answer a ``--memory-of``.

    Args:
        script: The benchmark's own file.
        args: Its options, as :func:`make_parser` knows them.
        cases: In the order in which they are shown.
        title: Heading of the results' page.
    """
    if args.memory_of:
        index, candidate = args.memory_of
        prepared = cases[int(index)].candidates[candidate]()
        print(json.dumps(_peak(prepared, args.device)))
        return
    name = Path(script).stem
    results = _describe(name, title, args) | {"cases": _measure_all(script, args, cases)}
    ending = f"{args.device}_amp" if args.amp else args.device
    out = Path(args.out or RESULTS / f"{name}_{ending}.json")
    atomic_write_text(out, json.dumps(results, indent=1) + "\n")
    console = Console()
    for case in results["cases"]:
        console.print(tables.terminal(case["name"], tables.rows(case)))
    print(f"written to {out}")


def _measure_all(
    script: str, args: argparse.Namespace, cases: Sequence[Case]
) -> list[dict[str, Any]]:
    with progress_bars() as bars:
        measured = []
        for index, case in enumerate(cases):
            advance = partial(
                bars.advance, bars.add_task(case.name, total=args.rounds + args.warm_up)
            )
            measured.append(_measure(case, args, advance))
            if not args.no_memory:
                _add_memory(measured[-1], case, index, script, args)
        return measured


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
    measured: dict[str, Any], case: Case, index: int, script: str, args: argparse.Namespace
) -> None:
    for candidate in measured["candidates"]:
        name = candidate["name"]
        if args.device == "cuda":
            peak = _peak(case.candidates[name](), "cuda")
        else:
            arguments = [*_own_arguments(), "--memory-of", str(index), name]
            peak = memory.peak_in_a_child(script, arguments)
        candidate["peak_memory_mib"] = peak


def _peak(prepared: Prepared, device: str) -> float:
    measure_peak = memory.peak_on_cuda if device == "cuda" else memory.peak_on_cpu
    return measure_peak(lambda: prepared.run(Stopwatch()), prepared.warm_up)


def _describe(name: str, title: str, args: argparse.Namespace) -> dict[str, Any]:
    """What was measured, on what, by which command."""
    command = shlex.join(["python", f"benchmarks/{name}.py", *_own_arguments()])
    half = str(amp_dtype(args.device)).removeprefix("torch.")
    return {
        "benchmark": name,
        "title": title,
        "machine": machine(),
        "device": args.device,
        **{package: installed_version(package) for package in ("torch", "mmcv", "mmdet")},
        "dtype": f"{half} by autocast" if args.amp else "float32",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "command": command,
    }


def machine() -> dict[str, Any]:
    """The processor, how many of its cores are ours, how many threads run, the GPU."""
    file = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", file.read_text()) if file.is_file() else None
    allowed = getattr(os, "sched_getaffinity", None)  # Linux has it
    return {
        "cpu": found.group(1) if found else platform.processor() or platform.machine(),
        "cores": len(allowed(0)) if allowed else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _own_arguments() -> list[str]:
    """The command line's options without where the results go."""
    kept, rest = [], iter(sys.argv[1:])
    for argument in rest:
        if argument == "--out":
            next(rest, None)
        elif not argument.startswith("--out="):
            kept.append(argument)
    return kept
