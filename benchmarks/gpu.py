"""All that a GPU is to show, in ten minutes: parity, operator, inference, training step, peers.

Results are written as NAME_HARDWARE.json, or NAME_HARDWARE_bf16.json. A step
that fails or for which no time is left is named at the end. --dry-run runs every step at a tiny
size on the CPU and keeps no results.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from common.benchmark import RESULTS

from mmproscale.cli.command_line import at_least, command_line
from mmproscale.errors import InputError

HERE = Path(__file__).resolve().parent
PARITY = ["-m", "pytest", "-q", "-rs", "tests/ops/test_deformops_attention.py"]
COMPARED = ["m2f_swin-t_coco", "proscale_m2f_swin-t_coco"]
BF16 = ["--precision", "bf16"]
Step = tuple[str, list[str]]

# The benchmarks and their options, the most important ones first.
STEPS: list[Step] = [
    ("attention", [*BF16]),
    ("inference", [*BF16, "--no-memory"]),
    ("training_step", [*BF16, "--configs", *COMPARED, "--size", "512", "512", "--batch", "8"]),
    ("peers", ["--sizes", "800x1088", "--rounds", "5"]),
    ("attention", []),
    ("inference", ["--no-memory"]),
]
SMALL = {
    "attention": ["--maps", "2x3", "4x4", "--head-dim", "8"],
    "inference": ["--configs", "m2f_r18_shapes", "proscale_m2f_r18_shapes", "--size", "64", "64"],
    "training_step": ["--size", "64", "64", "--batch", "2", "--queries", "6", "--points", "50"],
    "peers": ["--dry-run", "--forms", "fp32", "bf16", "--only", "M2F Swin-T"],
}
SHORT = ["--rounds", "1", "--warm-up", "0", "--no-memory", "--device", "cpu"]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=at_least(1), default=10, help="time of all steps")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on the CPU")
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    if not args.dry_run and not torch.cuda.is_available():
        raise InputError("PyTorch finds no GPU here: --dry-run runs the steps on the CPU")
    end = time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as folder:
        steps = dry_steps(Path(folder)) if args.dry_run else steps_of(torch.cuda.get_device_name())
        undone = [" ".join(step) for step in steps if not run(step, end - time.monotonic())]
    if undone:
        raise InputError(f"{len(undone)} of {len(steps)} steps have no result: {'; '.join(undone)}")


def steps_of(hardware: str) -> list[list[str]]:
    """Return the arguments of Python for each step on a GPU of this name."""
    label = re.sub(r"\W+", "-", hardware).strip("-").lower()
    steps = []
    for name, options in STEPS:
        ending = f"{label}_bf16" if "bf16" in options else label
        out = RESULTS / f"{name}_{ending}.json"
        steps.append([f"benchmarks/{name}.py", "--device", "cuda", *options, "--out", str(out)])
    return [PARITY, *steps]


def dry_steps(folder: Path) -> list[list[str]]:
    """Return the arguments of the same steps at a tiny size on the CPU."""
    steps = []
    for number, (name, options) in enumerate(STEPS):
        half = BF16 if "bf16" in options else []
        out = ["--out", str(folder / f"{number}.json")]
        files = ["--files", str(folder)] if name == "peers" else []
        steps.append([f"benchmarks/{name}.py", *SMALL[name], *SHORT, *half, *files, *out])
    return [PARITY, *steps]


def run(step: list[str], seconds: float) -> bool:
    """Run a step in the time that is left; return True if it succeeds."""
    if seconds <= 0:
        return False
    print(f"{seconds / 60:.1f} minutes left: python {' '.join(step)}", flush=True)
    try:
        done = subprocess.run([sys.executable, *step], cwd=HERE.parent, timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


if __name__ == "__main__":
    main()
