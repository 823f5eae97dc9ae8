"""mmdet's and mmseg's inferencers accept our transforms that load images and annotations.

They look for transforms of the names ``LoadImageFromFile`` and ``LoadAnnotations`` in the test
pipeline, replace the one and remove the other. Ours are subclasses of these.
"""

import functools
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from mmproscale.compat.import_hooks import call_after_import

INFERENCERS = {
    "mmdet.apis.det_inferencer": "DetInferencer",
    "mmseg.apis.mmseg_inferencer": "MMSegInferencer",
}
"""Module -> its inferencer."""


def accept_our_loading_in_inferencers() -> None:
    """Let inferencers find our transforms, as soon as their modules are imported."""
    for module, name in INFERENCERS.items():
        call_after_import(module, functools.partial(_accept_subclasses, name))


def _accept_subclasses(name: str, module: ModuleType) -> None:
    inferencer = getattr(module, name)
    find = inferencer._get_transform_idx
    if hasattr(find, "__wrapped__"):
        return

    @functools.wraps(find)
    def find_also_subclass(self: Any, pipeline: Sequence[dict], wanted: Any) -> int:
        place = find(self, pipeline, wanted)
        name = wanted if isinstance(wanted, str) else wanted[0]
        if place >= 0 or name not in ("LoadImageFromFile", "LoadAnnotations"):
            return place
        return next((i for i, step in enumerate(pipeline) if _is_kind(step["type"], name)), -1)

    inferencer._get_transform_idx = find_also_subclass


def _is_kind(found: Any, name: str) -> bool:
    from mmcv import transforms
    from mmengine.registry import TRANSFORMS

    from mmproscale.utils.registered import is_type

    return is_type(found, TRANSFORMS, getattr(transforms, name))
