"""Models of our configs, and the same networks built from mmdet's own parts."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from mmdet.models import Mask2Former
from mmengine.config import ConfigDict
from torch import Tensor

from mmproscale.cost.random_model import model_without_weights, random_model
from mmproscale.errors import InputError
from mmproscale.utils.config import load_config


def model_config(name: str) -> ConfigDict:
    """Return the model of a config, given by name or path, without weights to fetch."""
    return model_without_weights(load_config(name))


def stock_twin(model: ConfigDict) -> ConfigDict:
    """Return the model with mmdet's detector, heads and pixel decoder instead of ours.

    Raises:
        InputError: mmdet has no such pixel decoder, because the schedule is not Mask2Former's.
    """
    twin = copy.deepcopy(model)
    decoder = twin.panoptic_head.pixel_decoder
    schedule = decoder.encoder.pop("schedule")
    if schedule.type != "m2f":
        raise InputError(f"mmdet has no pixel decoder with schedule {schedule.type}: name an m2f_*")
    decoder.encoder.num_layers = schedule.layers
    decoder.type, twin.panoptic_head.type = "MSDeformAttnPixelDecoder", "Mask2FormerHead"
    twin.type, twin.panoptic_fusion_head.type = "Mask2Former", "MaskFormerFusionHead"
    return twin


def stock_detector(model: ConfigDict) -> ConfigDict:
    """Return the detector with mmdet's class and encoder instead of ours.

    Raises:
        InputError: mmdet has no such encoder: in mmdet's encoders all layers update all levels.
    """
    twin = copy.deepcopy(model)
    schedule = twin.encoder.pop("schedule")
    if schedule.type != "m2f":
        raise InputError(f"mmdet has no encoder with schedule {schedule.type}: name a dino_*")
    twin.encoder.num_layers = schedule.layers
    twin.type = twin.type.rpartition(".")[2].removeprefix("Scheduled")
    del twin["strides"], twin["recalibration"]
    return twin


def weights_of_stock(model: ConfigDict) -> dict[str, Tensor]:
    """Return random weights of the model's :func:`stock_twin`, the same at each call."""
    return build(stock_twin(model)).state_dict()


def build(model: ConfigDict, weights: Mapping[str, Tensor] | None = None) -> Mask2Former:
    """Build the model with random weights, or the given ones where name and shape are equal."""
    built = random_model(model)
    own = built.state_dict()
    fitting = {k: w for k, w in (weights or {}).items() if k in own and own[k].shape == w.shape}
    built.load_state_dict(fitting, strict=False)
    return built
