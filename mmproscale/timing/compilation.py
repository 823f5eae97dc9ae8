"""Compilation of a model's parts by torch.compile, so that each can still be timed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from mmdet.models.dense_heads import Mask2FormerHead
from torch import nn

from mmproscale.models.pixel_decoders.pixel_decoder import PixelDecoder


def compile_model(model: nn.Module) -> None:
    """Compile backbone, neck, pixel decoder and the layers of heads, each when it first runs.

    The code that calls them stays Python: it takes decisions, makes results and is timed.
    """
    for module in _units(model):
        # Our heads call embed of our pixel decoders, and so does forward.
        method = "embed" if isinstance(module, PixelDecoder) else "forward"
        setattr(module, method, torch.compile(getattr(module, method), dynamic=False))


def _units(module: nn.Module) -> Iterator[Any]:
    """Yield the largest modules that are called as modules."""
    child: Any
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        elif isinstance(child, Mask2FormerHead) or hasattr(child, "bbox_head"):
            yield from _units(child)  # heads are not called: their predict method is
        elif isinstance(getattr(child, "layers", None), nn.ModuleList):
            yield from child.layers  # stock's head calls its decoder's layers one by one
        else:
            yield child
