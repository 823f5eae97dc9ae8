"""Train the models of a study, one on each CPU core or GPU, and write the page of their figures.

    python benchmarks/study                      # all of camvid.yaml, then docs/study.md
    python benchmarks/study --models m2f --cores 1
    python benchmarks/study --collect            # no training: the page of what is finished

A run that has been stopped continues from its last checkpoint. A finished one is not repeated: its
figures are in --results, so that another machine can train what is missing. Each run has a folder
with its config, log and figures. When no run is left, latency is measured: nothing else should run
then.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from subprocess import DEVNULL, STDOUT, CalledProcessError

from figures import collect, results_of
from runs import Run, read_study, runs_of
from study_page import write_page

from mmproscale.cli.command_line import at_least, command_line
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_write_text
from mmproscale.utils.processes import usable_cores

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = HERE / "results.json"
PAGE = ROOT / "docs/study.md"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--study", type=Path, default=HERE / "camvid.yaml", help="YAML file")
    parser.add_argument("--models", nargs="+", help="train only these")
    parser.add_argument("--collect", action="store_true", help="train nothing, write the figures")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/study"), help="folder of runs")
    parser.add_argument("--gpus", type=at_least(1), help="runs at once, each on one of these GPUs")
    parser.add_argument(
        "--cores",
        type=at_least(1),
        default=usable_cores(),
        help="runs at once, each on one CPU core; default: all cores",
    )
    parser.add_argument("--rounds", type=at_least(1), default=9, help="rounds of latency")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON of all figures")
    parser.add_argument("--page", type=Path, default=PAGE, help="Markdown of the figures")
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    study = read_study(args.study)
    for run in (runs := runs_of(study, args.out, args.models)):
        run.write_config()
    restore_figures(runs_of(study, args.out, None), args.results)
    waiting = [run for run in runs if not (args.collect or run.is_finished)]
    failed = asyncio.run(train_all(waiting, places(args)))
    finished = [run for run in runs_of(study, args.out, None) if run.is_finished]
    if finished:
        results = results_of(study, finished, args.rounds)
        atomic_write_text(args.results, json.dumps(results, indent=1) + "\n")
        write_page(results, args.page)
        print(f"figures of {len(finished)} runs: {args.results}, {args.page}")
    if failed:
        raise InputError(f"{len(failed)} of {len(runs)} runs failed: {'; '.join(failed)}")


def restore_figures(runs: Sequence[Run], results: Path) -> None:
    """Write the figures of runs that were finished elsewhere, from the file of all figures."""
    kept = json.loads(results.read_text(encoding="utf-8"))["runs"] if results.is_file() else []
    for run, figures in product(runs, kept):
        if not run.is_finished and run.is_that_of(figures):
            run.write_config()
            atomic_write_text(run.figures_file, json.dumps(figures, indent=1) + "\n")


@dataclass(frozen=True)
class Place:
    """One CPU core or one GPU, on which one run at a time is at work."""

    core: int | None = None
    gpu: int | None = None

    @property
    def environment(self) -> dict[str, str]:
        if self.gpu is not None:
            return {"CUDA_VISIBLE_DEVICES": str(self.gpu)}
        return {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}


def places(args: argparse.Namespace) -> list[Place]:
    """Return the places of ``--gpus`` or ``--cores``.

    Raises:
        InputError: More cores than there are.
    """
    if args.gpus:
        return [Place(gpu=gpu) for gpu in range(args.gpus)]
    if args.cores > usable_cores():
        raise InputError(f"--cores {args.cores}: this process may use {usable_cores()}")
    if not hasattr(os, "sched_getaffinity"):  # only Linux has it
        return [Place()] * args.cores
    return [Place(core) for core in sorted(os.sched_getaffinity(0))[: args.cores]]


async def train_all(runs: Sequence[Run], places: Sequence[Place]) -> list[str]:
    """Finish runs, one at each place; return why some failed: the others go on."""
    waiting = iter(runs)
    failed: list[str] = []
    await asyncio.gather(*(work(waiting, place, failed) for place in places))
    return failed


async def work(waiting: Iterator[Run], place: Place, failed: list[str]) -> None:
    """Finish waiting runs at a place until none is left."""
    for run in waiting:
        try:
            await finish(run, place)
        except Exception as error:  # the other runs go on
            failed.append(f"{run.name}: {error}")
            print(f"{run.name} failed: {error}; its log is {run.log_file}", flush=True)


async def finish(run: Run, place: Place) -> None:
    """Train and test one run, and write its figures.

    Raises:
        CalledProcessError: A tool failed.
    """
    print(f"{run.name}: trains; its log is {run.log_file}", flush=True)
    started = time.monotonic()
    resume = ["--resume"] if run.last_checkpoint else []
    await tool(run, place, "train", run.config_file, "--work-dir", run.training, *resume)
    test = run.folder / "test"
    options = ["--work-dir", test, "--kinds", "panoptic", "semantic", "instance"]
    await tool(run, place, "test", run.config_file, run.last_checkpoint, *options)
    minutes = (time.monotonic() - started) / 60
    figures = collect(run, test / "metrics.json")
    atomic_write_text(run.figures_file, json.dumps(figures, indent=1) + "\n")
    print(f"{run.name}: PQ {figures['quality']['PQ']:.1f}, {minutes:.0f} min", flush=True)


async def tool(run: Run, place: Place, name: str, *arguments: str | Path) -> None:
    """Run one of tools/ at a place, and stop it when this is stopped; its output goes to the log.

    Raises:
        CalledProcessError: It failed.
    """
    command = [sys.executable, str(ROOT / f"tools/{name}.py"), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | place.environment
    with open(run.log_file, "ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=log, stderr=STDOUT, env=environment
        )
        if place.core is not None:
            os.sched_setaffinity(process.pid, {place.core})
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()  # a training writes a checkpoint
                await process.wait()
    if status:
        raise CalledProcessError(status, command)


if __name__ == "__main__":
    main()
