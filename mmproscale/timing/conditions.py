"""Conditions of a measurement: device, threads, precision, attention, and their record."""

from __future__ import annotations

import argparse
import inspect
import platform
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from mmengine.dist import get_world_size

from mmproscale.compat.installed_packages import installed_version
from mmproscale.errors import InputError
from mmproscale.models.precision import PRECISIONS, check_precision
from mmproscale.timing.measured_memory import check_memory_can_be_read
from mmproscale.utils.processes import usable_cores
from mmproscale.utils.words import plural


def set_up(args: argparse.Namespace) -> None:
    """Check the device and set the threads, as the options of ``add_measuring_options`` say.

    Raises:
        InputError: ``--device cuda`` without a GPU; a precision that the device does not have;
            memory that can't be read here.
    """
    check_precision(args.precision, args.device)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no GPU here")
    if args.device == "cpu" and not args.no_memory:
        check_memory_can_be_read()
    if args.threads:
        torch.set_num_threads(args.threads)


def autocast(args: argparse.Namespace) -> torch.autocast:
    """Return a context of the half precision of ``--precision``, or one without effect."""
    half = args.precision != "fp32"
    return torch.autocast(args.device, PRECISIONS[args.precision], enabled=half)


@contextmanager
def stock_attention() -> Iterator[None]:
    """Have stock modules use mmcv's compiled op or its PyTorch form, instead of our operator.

    mmdet's Swin and ResNet compute as mmdet does.
    """
    from mmcv.ops import multi_scale_deform_attn as module
    from mmdet.models.backbones import ResNet
    from mmdet.models.backbones.swin import SwinTransformer

    from mmproscale.ops import mmcv_attention

    fallback = module.multi_scale_deformable_attn_pytorch.__wrapped__
    compiled = torch.cuda.is_available() and not mmcv_attention.refuses(torch.zeros(1).cuda())
    with (
        mock.patch.object(module, "multi_scale_deformable_attn_pytorch", fallback),
        # On CUDA stock can't run without compiled ops; its CPU form is the nearest substitute.
        mock.patch.object(module, "IS_CUDA_AVAILABLE", compiled),
        mock.patch.object(ResNet, "forward", inspect.unwrap(ResNet.forward)),
        mock.patch.object(SwinTransformer, "forward", inspect.unwrap(SwinTransformer.forward)),
    ):
        yield


def conditions(args: argparse.Namespace, script: str, without: str) -> dict[str, Any]:
    """Return the machine, versions, precision, date and command of a measurement.

    Args:
        args: Options of ``add_measuring_options``.
        script: The script as the command line names it.
        without: The option for the results' file, which is left out of the command.
    """
    return {
        "machine": _processors(),
        "device": args.device,
        **{package: installed_version(package) for package in ("torch", "mmcv", "mmdet")},
        "dtype": str(PRECISIONS[args.precision]).removeprefix("torch."),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "command": shlex.join(["python", script, *own_arguments(without)]),
    }


def _processors() -> dict[str, Any]:
    """Return the names of CPU and GPU, the usable cores and PyTorch's threads."""
    file = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", file.read_text()) if file.is_file() else None
    return {
        "cpu": found.group(1) if found else platform.processor() or platform.machine(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def describe_machine() -> str:
    """Return the GPUs of a run, or the CPU and its threads: ``2 x NVIDIA A100``."""
    machine, processes = _processors(), get_world_size()
    if machine["gpu"]:
        return f"{processes} x {machine['gpu']}"
    threads = plural(machine["threads"] * processes, "thread")
    return f"{machine['cpu']}, {threads} on {plural(machine['cores'], 'core')}, no GPU"


def own_arguments(without: str) -> list[str]:
    """Return the command line's arguments without one option and its value."""
    kept, rest = [], iter(sys.argv[1:])
    for argument in rest:
        if argument == without:
            next(rest, None)
        elif not argument.startswith(f"{without}="):
            kept.append(argument)
    return kept
