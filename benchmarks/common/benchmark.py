"""What every benchmark does: options, measuring each case, a JSON of results, tables."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmproscale.cost import tables
from mmproscale.timing.comparison import Case, answer_memory, compare
from mmproscale.timing.conditions import conditions, own_arguments
from mmproscale.timing.measuring_options import add_measuring_options
from mmproscale.utils.atomic_files import atomic_write_text
from mmproscale.utils.terminal_table import terminal_table

RESULTS = Path(__file__).resolve().parents[1] / "results"


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_measuring_options(parser)
    parser.add_argument("--out", help="the JSON; benchmarks/results/NAME_DEVICE.json, if not given")
    return parser


def run_benchmark(script: str, args: argparse.Namespace, cases: Sequence[Case], title: str) -> None:
    """Measure every case, write the results and show them; or answer a ``--memory-of``.

    Args:
        script: The benchmark's own file.
        args: Its options, as :func:`make_parser` knows them.
        cases: In the order in which they are shown.
        title: Heading of the results' page.
    """
    if answer_memory(cases, args):
        return
    name = Path(script).stem
    results = {
        "benchmark": name,
        "title": title,
        **conditions(args, f"benchmarks/{name}.py", without="--out"),
        "cases": compare(cases, args, script, own_arguments(without="--out")),
    }
    ending = f"{args.device}_amp" if args.amp else args.device
    out = Path(args.out or RESULTS / f"{name}_{ending}.json")
    atomic_write_text(out, json.dumps(results, indent=1) + "\n")
    console = Console()
    for case in results["cases"]:
        console.print(terminal_table(case["name"], tables.rows(case)))
    print(f"written to {out}")
