"""Errors of other packages that a config, a file or the machine causes, each in one line.

A user can mend what is described here. Anything else is a bug, and keeps its traceback.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

from mmengine.config import Config

# mmengine's functions that build a part from a config.
_REGISTRY, _RUNNER = "mmengine.registry.build_functions", "mmengine.runner.runner"
_OPENMMLAB = ("mmengine", "mmcv", "mmdet", "mmseg", "mmpretrain")
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


def describe_foreign(error: BaseException) -> str | None:
    """Return one line about an error, or about a cause of it, that a user can mend; else None."""
    for cause in _causes(error):
        for describe in (_numbers, _memory, _loader, _batch_norm, _system, _config):
            if (line := describe(cause)) is not None:
                return " ".join(line.split())
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _numbers(error: BaseException) -> str | None:
    """Describe numbers that are not finite, with the image that the package names."""
    return str(error) if isinstance(error, FloatingPointError) else None


def _memory(error: BaseException) -> str | None:
    said = str(error).partition("\n")[0]
    lacks = isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(text in said for text in _NO_MEMORY)
    )
    if not lacks:
        return None
    return f"out of memory ({said or 'in Python'}): use fewer or smaller images, or fewer workers"


def _loader(error: BaseException) -> str | None:
    """Describe a data loader whose worker the system has killed."""
    said = str(error).partition("\n")[0]
    if not (isinstance(error, RuntimeError) and said.startswith("DataLoader worker (pid")):
        return None
    return (
        f"{said}: it may have lacked memory, or space in /dev/shm; use fewer workers (num_workers "
        "in the config), or give it more"
    )


def _batch_norm(error: BaseException) -> str | None:
    """Describe a batch norm that has to train on one number for each channel."""
    said = str(error)
    if not (isinstance(error, ValueError) and said.startswith("Expected more than 1 value per")):
        return None
    shape = said.rpartition("torch.Size(")[2].rstrip(")")
    return (
        f"a batch norm got a map of shape {shape} to train on: use a larger batch or larger images "
        "or crops, or freeze the norms of the backbone (norm_eval=True)"
    )


def _system(error: BaseException) -> str | None:
    """Describe a file or device that the system refuses, e.g. on a full disk."""
    if not isinstance(error, OSError) or isinstance(error, BrokenPipeError):
        return None
    said = error.strerror or str(error).strip().rpartition("\n")[2]
    return f"{error.filename}: {said}" if error.filename else f"{said} ({_place(error)})"


def _config(error: BaseException) -> str | None:
    """Describe OpenMMLab's error about a value of the config, raised by a build or later."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    parts = [part for part in map(_part_built_in, frames) if part]
    packages = [_module(frame).partition(".")[0] for frame in frames]
    callers = [name for name in packages if name not in (*sys.stdlib_module_names, "torch")]
    if not parts and not (callers and callers[-1] in _OPENMMLAB):
        return None
    said = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    name = next(filter(None, map(_config_in, frames)), "of this command")
    what = f"can't build {parts[-1]}" if parts else "has a value that does not fit"
    reason = f"{type(error).__name__}: {said.partition('. Please')[0]}"
    where = f"{_place(error)}; MMPROSCALE_TRACEBACK=1 shows the calls"
    return f"config {name} {what}: {reason} ({where})"


def _part_built_in(frame: FrameType) -> str | None:
    """Return the type or part that a function of mmengine builds; None for other functions."""
    module, function = _module(frame), frame.f_code.co_name
    if module == _RUNNER and function.startswith("build_"):
        return function.removeprefix("build_")
    if module == _RUNNER and function == "__init__":
        return "the runner"
    if module != _REGISTRY:
        return None
    stated = frame.f_locals.get("cfg")
    stated = stated.get("type") if isinstance(stated, dict) else stated
    return getattr(stated, "__name__", None) or str(stated)


def _config_in(frame: FrameType) -> str | None:
    """Return the path of a config among a function's variables."""
    configs = (value for value in frame.f_locals.values() if isinstance(value, Config))
    return next((str(config.filename) for config in configs if config.filename), None)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _place(error: BaseException) -> str:
    """Return the file and line that raised an error, without the folders above its package."""
    last: Any = traceback.extract_tb(error.__traceback__)[-1]
    parts = last.filename.split(os.sep)
    folder = parts.index("site-packages") + 1 if "site-packages" in parts else -2
    return f"{os.sep.join(parts[folder:])}:{last.lineno}"
