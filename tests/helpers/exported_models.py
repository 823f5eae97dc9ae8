"""Small models of every family with a checkpoint, for exports, and a photo for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmproscale.cost.random_model import model_without_weights, random_model
from mmproscale.export.graph import mask_head
from mmproscale.inference.predictor import Predictor
from mmproscale.utils.config import load_config

HEAD = "panoptic_head"
DECODER = {f"{HEAD}.transformer_decoder.num_layers": 1, f"{HEAD}.num_queries": 12}
PIXELS = f"{HEAD}.pixel_decoder"
ENCODER = {f"{PIXELS}.encoder.schedule.layers": 1}
BOXES = {
    "decoder.num_layers": 1,
    "num_queries": 12,
    "test_cfg.max_per_img": 12,
}

RESNET18 = {"backbone.depth": 18, "neck.in_channels": [128, 256, 512]}
CHANNELS = {
    f"{HEAD}.in_channels": [64, 128, 256, 512],
    f"{PIXELS}.in_channels": [64, 128, 256, 512],
}

# Family -> config and changes of its model that make it small.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "M2F": ("m2f_r18_shapes", DECODER | ENCODER),
    "PRO-SCALE": (
        "proscale_m2f_r18_shapes",
        DECODER | {f"{PIXELS}.encoder.schedule.repeats": (1, 1, 1)},
    ),
    "Lite": ("lite_m2f_r18_shapes", DECODER),
    "RT": ("rt_m2f_r18_shapes", DECODER),
    "PEM": ("pem_m2f_r18_shapes", DECODER),
    "DINO": ("dino_r18_shapes", BOXES | {"encoder.schedule.layers": 1}),
    "DETR": ("detr_r18_shapes", BOXES),
    "ECO": ("eco_m2f_r18_shapes", DECODER | {f"{PIXELS}.exits": (2, 4)}),
    "semantic": (
        "m2f_r18_camvid-semantic",
        {
            "decode_head.transformer_decoder.num_layers": 1,
            "decode_head.num_queries": 12,
            "decode_head.pixel_decoder.encoder.schedule.layers": 1,
        },
    ),
    "instance": (
        "m2f_r50_coco-instance",
        DECODER | ENCODER | CHANNELS | {"backbone.depth": 18, "test_cfg.max_per_image": 20},
    ),
    "Swin": (
        "proscale-111_m2f_swin-t_coco",
        DECODER | {"backbone.depths": (2, 2, 2, 2), "backbone.window_size": 4},
    ),
    "STDC": ("pem_m2f_stdc1_cityscapes", DECODER),
    "Deformable DETR": (
        "deformable-detr_r50_coco",
        BOXES | RESNET18 | {"encoder.schedule.layers": 1},
    ),
    "ECO-DETR": ("eco_detr_r18_shapes", BOXES | {"exits": (2, 3)}),
    "ECO-DINO": ("eco_dino_r18_shapes", BOXES | {"exits": (2, 3)}),
}


def small_predictor(family: str, folder: Path, **options: Any) -> Predictor:
    """Build a family's model with random weights, whose results have several segments."""
    name, changes = FAMILIES[family]
    config = load_config(name, {f"model.{k}": v for k, v in (changes | options).items()})
    if "panoptic_head" in config.model:
        config.model.test_cfg.update(object_mask_thr=0.0, iou_thr=0.0)
    for step in config.test_dataloader.dataset.pipeline:
        if step.type.endswith("Resize"):
            step.scale = (128, 96)
    model = random_model(model_without_weights(config), config.default_scope)
    sharpen(model)
    centre(model)
    checkpoint = folder / "model.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {}}, checkpoint)
    return Predictor(config, checkpoint, "cpu")


def sharpen(model: torch.nn.Module) -> None:
    """Give logits the range of a trained model's."""
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if name.endswith(("cls_embed.weight", "query_feat.weight", "mask_embed.4.weight")):
            torch.nn.init.normal_(parameter, std=0.5)


@torch.no_grad()
def centre(model: torch.nn.Module) -> None:
    """Move a linear mask projection so that masks have pixels on both sides of zero."""
    decoder = getattr(mask_head(model), "pixel_decoder", None)
    if decoder is None or not decoder.projects_linearly:
        return
    images = torch.from_numpy(photo(128, 160)).permute(2, 0, 1)[None].float() / 64 - 2
    encoded = decoder.eval().embed(model.eval().extract_feat(images))
    decoder.mask_feature.bias -= decoder.mask_feature(encoded.embedding).mean((0, 2, 3))


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return (H, W, 3) uint8 with smooth areas, as photos have them."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3), np.uint8)
    rows = np.arange(height) * 6 // height
    columns = np.arange(width) * 8 // width
    return coarse[rows][:, columns]
