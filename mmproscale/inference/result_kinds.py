"""Kinds of results that a config's model gives: panoptic, semantic, instance, or boxes."""

from collections.abc import Sequence

from mmengine.config import Config
from mmengine.registry import MODELS

from mmproscale.errors import InputError
from mmproscale.utils.registered import is_type

FIELDS = {
    "panoptic": "pred_panoptic_seg",
    "semantic": "pred_sem_seg",
    "instance": "pred_instances",
    "boxes": "pred_instances",
}
"""Kind of result -> its field in a data sample. Only detectors give boxes."""


def kinds_of(config: Config) -> tuple[str, ...]:
    """Return the kinds of results that a config's model gives by default.

    mmseg's segmentors give semantic results, detectors boxes. Other models give the kinds that
    their test_cfg turns on, or panoptic results if it turns on none.
    """
    if _is_segmentor(config):
        return ("semantic",)
    if _is_detector(config):
        return ("boxes",)
    test_cfg = config.model.get("test_cfg") or {}
    kinds = tuple(kind for kind in FIELDS if test_cfg.get(f"{kind}_on"))
    return kinds or ("panoptic",)


def _is_segmentor(config: Config) -> bool:
    return "decode_head" in config.model


def _is_detector(config: Config) -> bool:
    return "bbox_head" in config.model and "mask_head" not in config.model


def give_kinds(config: Config, kinds: Sequence[str]) -> None:
    """Make a config's model give these kinds of results and no others; changes the config.

    Raises:
        InputError: A kind is unknown, or the model does not support it. Detectors give only boxes,
            mmseg's segmentors only semantic results. Other models give no boxes; of these, only our
            segmentor with our fusion head gives semantic results.
    """
    model = config.model
    unknown = [kind for kind in kinds if kind not in FIELDS]
    if unknown:
        raise InputError(f"kind {unknown[0]!r} is unknown: use some of {', '.join(FIELDS)}")
    if _is_detector(config):
        if tuple(kinds) != ("boxes",):
            raise InputError(f"a {model.type} gives only boxes: leave --kinds out")
        return
    if _is_segmentor(config):
        others = [kind for kind in kinds if kind != "semantic"]
        if others:
            raise InputError(
                f"a {model.type} gives only semantic results, not {others[0]} ones: "
                "leave --kinds out, or use a config with a panoptic_head"
            )
        return
    if "boxes" in kinds:
        raise InputError(f"a {model.type} gives masks, not boxes: ask for instance results")
    if "semantic" in kinds and not _is_universal(config):
        raise InputError(
            "semantic results need mmproscale.UniversalSegmentor with "
            "mmproscale.UniversalFusionHead in the config's model"
        )
    if "test_cfg" in model:
        of_masks = [kind for kind in FIELDS if kind != "boxes"]
        model.test_cfg.update({f"{kind}_on": kind in kinds for kind in of_masks})


def _is_universal(config: Config) -> bool:
    scope = config.get("default_scope", "mmdet")
    fusion = config.model.get("panoptic_fusion_head", {}).get("type")
    types = {
        config.model.type: "mmproscale.UniversalSegmentor",
        fusion: "mmproscale.UniversalFusionHead",
    }
    return all(is_type(found, MODELS, wanted, scope=scope) for found, wanted in types.items())
