"""Weights that a training starts from: a whole model's, a backbone's, or none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from mmengine.registry import MODELS

from mmproscale.checkpoints.any_source import convert_checkpoint, load_source
from mmproscale.checkpoints.mmengine_loaders import why_unavailable
from mmproscale.checkpoints.model_match import check_any_match
from mmproscale.errors import InputError
from mmproscale.own_data.base_configs import BaseConfig
from mmproscale.own_data.dataset_facts import Facts
from mmproscale.own_data.layouts import INSTANCE, PANOPTIC, SEMANTIC
from mmproscale.utils.config import config_folder
from mmproscale.utils.registered import registered_class

FEW_IMAGES = 2000
# Package of published models, and a part of their file names, by the kind of data.
PUBLISHED = {
    PANOPTIC: ("mmdet", "coco-panoptic_"),
    INSTANCE: ("mmdet", "coco_"),
    SEMANTIC: ("mmseg", "ade20k-"),
}
# torchvision has weights for the small backbone, whose own recipes train from scratch.
RESNET18 = dict(type="Pretrained", checkpoint="torchvision://resnet18")
FROZEN_NORMS = dict(norm_cfg=dict(type="BN", requires_grad=False), norm_eval=True)
TRAINED_NORMS = dict(norm_cfg=dict(type="BN", requires_grad=True), norm_eval=False)
STAGES = 4


@dataclass(frozen=True)
class Start:
    """Start of a training.

    Args:
        source: Checkpoint of a whole model, or the backbone's; empty if from scratch.
        why: Reason for the table.
        backbone: Changes of the base's backbone.
        whole: True if ``source`` is a whole model.
    """

    source: str
    why: str
    backbone: Mapping[str, Any]
    whole: bool = False

    @property
    def from_scratch(self) -> bool:
        """True if there are no weights at all."""
        return not self.source


def choose_start(
    base: BaseConfig,
    facts: Facts,
    load_from: str | None = None,
    from_scratch: bool = False,
    backbone_only: bool = False,
) -> Start:
    """Choose the weights to start from; without a wish, the best ones that can be had here.

    These are a published model with the base's backbone if there are few images, then the
    backbone's own weights.
    """
    if load_from:
        return Start(load_from, "a class layer of other classes is left out", NO_INIT, whole=True)
    if from_scratch:
        return Start("", "every layer learns at the full rate", _without_weights(base))
    trained = "" if backbone_only or facts.train_images > FEW_IMAGES else _published(base, facts)
    if trained and not why_unavailable(trained):
        why = f"a trained model, for {facts.train_images} images; or --backbone-only"
        return Start(trained, why, NO_INIT, whole=True)
    init = base.config.model.backbone.get("init_cfg") or {}
    changes: dict[str, Any] = {}
    if not init and base.name.endswith("_r18"):
        init = RESNET18
        changes = dict(init_cfg=RESNET18, **FROZEN_NORMS)
    source = init.get("checkpoint", "")
    reason = source and why_unavailable(source)
    if not source or reason:
        why = f"{source} can't be had here ({reason})" if reason else "as the recipe does"
        return Start("", why, _without_weights(base))
    return Start(source, "the backbone's, fetched on first use; --from-scratch needs none", changes)


NO_INIT = dict(init_cfg=None)  # the weights are in the checkpoint of the whole model


def freeze(base: BaseConfig, start: Start) -> dict[str, Any]:
    """Return the changes of a backbone that never learns.

    Raises:
        InputError: It has no weights to keep, or cannot be frozen.
    """
    stated = base.config.model.backbone
    made = registered_class(stated.type, MODELS, base.config.get("default_scope"))
    if made is None or "frozen_stages" not in signature(made).parameters:
        name = getattr(made, "__name__", stated.type)
        raise InputError(f"--frozen-backbone: {name} has no frozen_stages; take another --base")
    if start.from_scratch:
        raise InputError(
            "--frozen-backbone keeps the backbone's weights, and this training starts without any "
            f"({start.why}): leave it out, or name a checkpoint, --load-from"
        )
    return dict(start.backbone, frozen_stages=STAGES)


def _without_weights(base: BaseConfig) -> dict[str, Any]:
    """Return changes that start the backbone without weights: frozen norms would stay at 0."""
    backbone = base.config.model.backbone
    changes: dict[str, Any] = NO_INIT if backbone.get("init_cfg") else {}
    return changes | (TRAINED_NORMS if backbone.get("norm_eval") else {})


def _published(base: BaseConfig, facts: Facts) -> str:
    """Return the address of OpenMMLab's Mask2Former with a base's backbone; empty if none is."""
    if facts.kind not in PUBLISHED:
        return ""
    package, dataset = PUBLISHED[facts.kind]
    try:
        indices = list((config_folder(package) / "mask2former").glob("metafile.y*ml"))
    except InputError:  # the package is not installed
        return ""
    backbone = re.escape(base.name.rpartition("_")[2])
    pattern = rf"Weights: (\S+/mask2former_{backbone}[-_][^/]*_{dataset}[^/]*\.pth)"
    found = (re.search(pattern, index.read_text()) for index in indices)
    return next((match[1] for match in found if match), "")


def check_starting_weights(base: BaseConfig, source: str, facts: Facts) -> None:
    """Check that a checkpoint in a file fits the model; one at a URL is checked in training.

    Raises:
        InputError: The file is missing or can't be read; it has no weights, or no backbone, of
            this model.
    """
    if "://" in source:
        return
    if not Path(source).exists():
        raise InputError(f"--load-from {source} is not a file: name a checkpoint")
    model, checkpoint = base.network(facts).model, load_source(source)
    convert_checkpoint(model, checkpoint, source, partial=True)
    match = check_any_match(model, checkpoint, source)
    missing = next((name for name in match.missing if name.startswith("backbone.")), None)
    if missing:
        raise InputError(
            f"--load-from {source} lacks the backbone of this --base ({missing} is missing): "
            "take the checkpoint's own base, or a checkpoint of the whole model"
        )
