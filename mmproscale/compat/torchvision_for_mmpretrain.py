"""mmpretrain's backbones without torchvision, which two of its files import for boxes alone.

mmpretrain does not require torchvision, and the one on PyPI cannot be imported beside a CPU build
of PyTorch. Where it is absent, an empty `torchvision.ops.boxes` stands in while those files are
executed, and only then: nobody else may take it for installed.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from mmproscale.compat.after_import import import_within

IMPORTERS = (
    "mmpretrain.evaluation.metrics.visual_grounding_eval",
    "mmpretrain.models.utils.box_utils",
)
NAMES = ("torchvision", "torchvision.ops", "torchvision.ops.boxes")


def serve_torchvision_to_mmpretrain() -> None:
    """Have the files of mmpretrain that import torchvision find something; once."""
    for name in IMPORTERS:
        import_within(name, torchvision_or_stand_in)


@contextmanager
def torchvision_or_stand_in() -> Iterator[None]:
    """For a moment, let `import torchvision.ops.boxes` succeed where torchvision is absent."""
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
