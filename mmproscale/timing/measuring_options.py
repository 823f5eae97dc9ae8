"""The options of everything that measures, and what they mean."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from mmproscale.errors import InputError
from mmproscale.timing import memory


def add_measuring_options(parser: argparse.ArgumentParser) -> None:
    """Add device, threads, rounds, memory and precision."""
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=at_least(1), help="of a CPU; as PyTorch chooses, if not")
    parser.add_argument("--rounds", type=at_least(1), default=9, help="how many count")
    parser.add_argument("--warm-up", type=at_least(0), default=2, help="rounds before them")
    parser.add_argument("--no-memory", action="store_true", help="leave the peak memory out")
    parser.add_argument("--amp", action="store_true", help="autocast: fp16 on CUDA, bf16 on a CPU")
    # What a child process is asked: the peak of one candidate of one case.
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)


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
        InputError: ``--device cuda`` without a GPU; memory that can't be read here.
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
