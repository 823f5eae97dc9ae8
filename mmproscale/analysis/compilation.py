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
        module.forward = torch.compile(module.forward, dynamic=False)  # type: ignore[method-assign]


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
