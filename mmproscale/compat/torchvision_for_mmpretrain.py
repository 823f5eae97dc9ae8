"""Temporary torchvision for mmpretrain, so that its backbones work where torchvision is absent.

mmpretrain does not require torchvision, but two of its files import torchvision's box functions.
PyPI's torchvision cannot be imported with a CPU build of PyTorch. So an empty
`torchvision.ops.boxes` exists while those two files are executed. Afterwards it is gone, and other
packages find no torchvision.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from mmproscale.compat.import_hooks import import_within

IMPORTERS = (
    "mmpretrain.evaluation.metrics.visual_grounding_eval",
    "mmpretrain.models.utils.box_utils",
)
NAMES = ("torchvision", "torchvision.ops", "torchvision.ops.boxes")


def serve_torchvision_to_mmpretrain() -> None:
    """Let the files of mmpretrain that import torchvision be imported without it."""
    for name in IMPORTERS:
        import_within(name, torchvision_or_stand_in)


@contextmanager
def torchvision_or_stand_in() -> Iterator[None]:
    """Let `import torchvision.ops.boxes` succeed inside, also where torchvision is absent."""
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is not None:
        yield
        return
    torchvision, ops, boxes = (ModuleType(name) for name in NAMES)
    torchvision.ops, ops.boxes, boxes.__getattr__ = ops, boxes, _missing  # type: ignore
    sys.modules.update(zip(NAMES, (torchvision, ops, boxes), strict=True))
    try:
        yield
    finally:
        for name in NAMES:
            del sys.modules[name]


def _missing(name: str) -> Callable[..., Any]:
    if name.startswith("__"):
        raise AttributeError(name)
    raise RuntimeError(f"torchvision is not installed; torchvision.ops.boxes.{name} needs it")
