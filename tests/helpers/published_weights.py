"""Published weights in their own names: full key lists, and reference models (../shared)."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

PIXELS, PREDICTOR = "sem_seg_head.pixel_decoder.", "sem_seg_head.predictor."
BACKBONES = {"r50": (256, 512, 1024, 2048), "swin-t": (96, 192, 384, 768)}


def key_list(shared: Path, name: str) -> dict[str, Tensor]:
    """Return the weights that a list in goldens/keys names, without values."""
    lines = (shared / f"goldens/keys/{name}.txt").read_text().splitlines()
    rows = [line.split("\t") for line in lines if line.strip()]
    return {
        key: torch.empty(ast.literal_eval(shape), dtype=getattr(torch, dtype), device="meta")
        for key, shape, dtype in rows
    }


def released_model(shared: Path, pixel_decoder: str, backbone: str) -> dict[str, Tensor]:
    """A whole released model: the lists know each pixel decoder with one of the backbones."""
    weights = key_list(shared, f"{backbone.replace('-', '')}_backbone")
    weights |= key_list(shared, f"{pixel_decoder}_pixel_decoder")
    weights |= key_list(shared, "mask2former_predictor")
    channels = BACKBONES[backbone]
    width = weights[f"{PIXELS}mask_features.weight"].shape[0]
    for i, own in enumerate(reversed(channels[1:])):
        key = f"{PIXELS}input_proj.{i}.0.weight"
        weights[key] = torch.empty(width, own, 1, 1, device="meta")
    weights[f"{PIXELS}adapter_1.weight"] = torch.empty(width, channels[0], 1, 1, device="meta")
    return weights | {"criterion.empty_weight": torch.empty(134, device="meta")}


def golden(shared: Path, name: str) -> dict[str, Tensor]:
    """A reference model's tensors, of which `w/` are weights."""
    data = np.load(shared / f"goldens/{name}.npz")
    return {key: torch.tensor(data[key]) for key in data.files}


def golden_weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a reference model, as in a checkpoint of detectron2."""
    places = {
        "w/pixel_decoder/": PIXELS,
        "w/transformer_decoder/": PREDICTOR,
        "w/": PIXELS,
    }
    weights = {}
    for key, value in tensors.items():
        start = next((start for start in places if key.startswith(start)), None)
        if start is not None:
            weights[places[start] + key.removeprefix(start)] = value
    return weights
