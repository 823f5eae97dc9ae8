"""Under which conditions something was measured: machine, versions, precision, date, command."""

from __future__ import annotations

import argparse
import platform
import re
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from mmproscale.compat.versions import installed_version
from mmproscale.timing.measuring_options import amp_dtype
from mmproscale.utils.processors import usable_cores


def conditions(args: argparse.Namespace, script: str, without: str) -> dict[str, Any]:
    """What was measured on, and by which command.

    Args:
        args: Options as ``add_measuring_options`` knows them.
        script: The script as the command line names it.
        without: The option that says where results go, which is no condition.
    """
    half = str(amp_dtype(args.device)).removeprefix("torch.")
    return {
        "machine": machine(),
        "device": args.device,
        **{package: installed_version(package) for package in ("torch", "mmcv", "mmdet")},
        "dtype": f"{half} by autocast" if args.amp else "float32",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "command": shlex.join(["python", script, *own_arguments(without)]),
    }


def machine() -> dict[str, Any]:
    """The processor, how many of its cores are ours, how many threads run, the GPU."""
    file = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", file.read_text()) if file.is_file() else None
    return {
        "cpu": found.group(1) if found else platform.processor() or platform.machine(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def own_arguments(without: str) -> list[str]:
    """The command line's arguments without an option and its value."""
    kept, rest = [], iter(sys.argv[1:])
    for argument in rest:
        if argument == without:
            next(rest, None)
        elif not argument.startswith(f"{without}="):
            kept.append(argument)
    return kept
