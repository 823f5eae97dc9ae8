"""torch.compile for models whose parts are still timed one by one."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn


def compile_model(model: nn.Module) -> None:
    """Have backbone, neck, pixel decoder and the layers of heads compiled when they first run.

    Each is compiled by itself. What calls them stays Python: it takes decisions, makes results, and
    is where a stopwatch stands.
    """
    for module in _units(model):
        # What our heads call of our pixel decoders; forward calls it too.
        method = "embed" if hasattr(module, "embed") else "forward"
        setattr(module, method, torch.compile(getattr(module, method), dynamic=False))


def _units(module: nn.Module) -> Iterator[nn.Module]:
    """Modules that are called as such, as large as they are."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        elif hasattr(child, "pixel_decoder") or hasattr(child, "bbox_head"):
            yield from _units(child)  # a head that is not called but asked to predict
        elif isinstance(getattr(child, "layers", None), nn.ModuleList):
            yield from child.layers  # stock's head calls its decoder's layers one by one
        else:
            yield child
