"""Imports of mmpretrain's backbones without torchvision, and next to transformers 5.

mmpretrain does not require torchvision, but two of its files import torchvision's box functions.
PyPI's torchvision cannot be imported with a CPU build of PyTorch. So an empty
`torchvision.ops.boxes` exists while those two files are executed. Afterwards it is gone, and other
packages find no torchvision.

mmpretrain's multimodal models import functions that transformers 5 no longer has. Where it finds
transformers, it imports these models with its backbones, and mmdet imports mmpretrain: every model
would fail. Next to transformers 5, mmpretrain leaves its multimodal models out, as without
transformers.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from mmproscale.compat.import_hooks import call_after_import, import_within

IMPORTERS = (
    "mmpretrain.evaluation.metrics.visual_grounding_eval",
    "mmpretrain.models.utils.box_utils",
)
NAMES = ("torchvision", "torchvision.ops", "torchvision.ops.boxes")


def let_mmpretrain_be_imported() -> None:
    """Let mmpretrain's models be imported without torchvision, and next to transformers 5."""
    for name in IMPORTERS:
        import_within(name, torchvision_or_stand_in)
    if transformers_is_too_new():
        call_after_import("mmpretrain.utils.dependency", _leave_multimodal_models_out)


def transformers_is_too_new() -> bool:
    """Return whether transformers is installed and lacks functions that mmpretrain imports."""
    try:
        return int(version("transformers").partition(".")[0]) >= 5
    except PackageNotFoundError:
        return False


def _leave_multimodal_models_out(dependency: Any) -> None:
    dependency.WITH_MULTIMODAL = False


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
