"""Parts of every benchmark: options, measurement of each case, a JSON of results, tables."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmproscale.cli.command_line import add_measuring_options
from mmproscale.timing.comparison import Case, answer_memory, compare, table_rows
from mmproscale.timing.conditions import conditions, own_arguments
from mmproscale.utils.atomic_files import atomic_write_text
from mmproscale.utils.terminal_table import terminal_table

RESULTS = Path(__file__).resolve().parents[1] / "results"


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_measuring_options(parser)
    parser.add_argument("--out", help="JSON file; default: benchmarks/results/NAME_DEVICE.json")
    return parser


def run_benchmark(script: str, args: argparse.Namespace, cases: Sequence[Case], title: str) -> None:
    """Measure every case, write the results and print them; or answer ``--memory-of``.

    Args:
        script: The benchmark's own file.
        args: Options of :func:`make_parser`.
        cases: Cases in the order in which they are printed.
        title: The benchmark's heading in docs/benchmarks.md.
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
    half = args.precision != "fp32"
    ending = f"{args.device}_{args.precision}" if half else args.device
    out = Path(args.out or RESULTS / f"{name}_{ending}.json")
    atomic_write_text(out, json.dumps(results, indent=1) + "\n")
    console = Console()
    for case in results["cases"]:
        console.print(terminal_table(case["name"], table_rows(case)))
    print(f"written to {out}")
