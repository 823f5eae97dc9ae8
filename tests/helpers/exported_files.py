"""A file of a tiny graph, with the description of a semantic model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmproscale.export.formats import free_axes, trace, write
from mmproscale.inference.export_info import ExportInfo

INFO = ExportInfo(
    config="tiny",
    kind="semantic",
    precision="fp32",
    fused=True,
    photos=False,
    categories=[{"id": 7, "name": "road", "isthing": 0}],
    settings="{'model': {}}",
)


class TinyGraph(nn.Module):
    """Two convolutions and a matrix product."""

    inputs, outputs = ("images",), ("logits", "count")

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1))
        self.last = nn.Linear(4, 5)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        (images,) = inputs
        logits = self.last(self.body(images).flatten(2).transpose(1, 2))
        return logits, (logits.argmax(-1) == 1).sum(1)


def write_tiny(
    out: Path, free: bool = False, batch: int = 1, precision: str = "fp32", **info: Any
) -> TinyGraph:
    """Write the graph for images of 32 x 64 pixels; return it."""
    for package in ("onnxscript", "onnxruntime", "openvino", *["nncf"] * (precision == "int8")):
        pytest.importorskip(package)
    graph = TinyGraph().eval()
    axes = free_axes(1) if free else None
    with torch.no_grad():
        in_trace = precision if out.suffix == ".pt2" else "fp32"
        images = torch.randn(2 if free else batch, 3, 128 if free else 32, 160 if free else 64)
        program = trace(graph, [images], axes, in_trace)
    described = replace(INFO, precision=precision, **info)
    names, samples = (graph.inputs, graph.outputs), [(torch.randn_like(images),) for _ in range(8)]
    write(program, out, names, described.to_strings(), precision, samples)
    return graph
