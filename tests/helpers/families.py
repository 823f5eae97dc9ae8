"""A small model of every family, with a batch for it, and its losses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from helpers.early_exit_detectors import early_exit
from helpers.heads import STUFF, THINGS, data_samples
from helpers.semantic import semantic_samples
from helpers.tiny_detectors import batch, scheduled, stir
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from mmproscale.utils.config import load_config

CONFIGS = Path(__file__).parents[2] / "configs"


def segmentor(config: str, **options: Any) -> nn.Module:
    """Build a model on ResNet-18, with the classes of ``helpers.heads`` and fewer points."""
    settings = load_config(CONFIGS / f"{config}.py", {f"model.{k}": v for k, v in options.items()})
    with DefaultScope.overwrite_default_scope(settings.default_scope):
        model = MODELS.build(settings.model)
        model.init_weights()
    stir(model)
    return revert_sync_batchnorm(model)


def panoptic(config: str, **options: Any) -> nn.Module:
    """Build a panoptic segmentor."""
    classes = {
        "num_things_classes": THINGS,
        "num_stuff_classes": STUFF,
        "loss_cls.class_weight": [1.0] * (THINGS + STUFF) + [0.1],
    }
    options |= {f"panoptic_head.{key}": value for key, value in classes.items()}
    options |= {"panoptic_fusion_head.num_things_classes": THINGS}
    options |= {"panoptic_fusion_head.num_stuff_classes": STUFF}
    return segmentor(f"{config}_r18_shapes", **options)


# Family -> function that builds a model; its keyword arguments are options by dotted key.
BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "M2F": lambda **options: panoptic("m2f", **options),
    "PRO-SCALE": lambda **options: panoptic("proscale_m2f", **options),
    "Lite": lambda **options: panoptic("lite_m2f", **options),
    "RT": lambda **options: panoptic("rt_m2f", **options),
    "PEM": lambda **options: panoptic("pem_m2f", **options),
    "M2F semantic": lambda **options: segmentor("m2f_r18_camvid-semantic", **options),
    "PEM semantic": lambda **options: segmentor("pem_m2f_r18_camvid-semantic", **options),
    "DINO": lambda **options: scheduled("DINO", **options),
    "Deformable DETR": lambda **options: scheduled("DeformableDETR", **options),
    "DDQ": lambda **options: scheduled("DDQDETR", **options),
    "DETR": lambda **options: early_exit("DETR", exit_gate=None, **options),
}


def inputs_of(model: nn.Module, seed: int = 0) -> tuple[Tensor, list[Any]]:
    """Return images and data samples that the model takes."""
    torch.manual_seed(seed)
    if hasattr(model, "bbox_head"):
        return batch()
    images = torch.randn(2, 3, 64, 64)
    if hasattr(model, "decode_head"):
        return images, semantic_samples([(0, 4), (1, 2)])
    return images, data_samples([3, 2], seed=seed)


def losses_by_name(
    model: nn.Module, images: Tensor, samples: list[Any], seed: int = 0
) -> dict[str, Tensor]:
    """Return a model's losses; DDQ has lists of them."""
    torch.manual_seed(seed)  # the points of mask losses, the noise of DINO's queries
    losses = model.loss(images, copy.deepcopy(samples))
    lists = {name: [v] if isinstance(v, Tensor) else v for name, v in losses.items()}
    return {
        f"{name}.{index}": part.mean()
        for name, parts in lists.items()
        if "loss" in name
        for index, part in enumerate(parts)
    }
