"""Int8 form of an ONNX model: most products are quantised, with ranges that images calibrate."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.inference.exported_file import needs
from mmproscale.inference.image_sources import InputImage
from mmproscale.models import precision
from mmproscale.utils.image_inputs import find_images

QUANTIZED = ("Conv", "MatMul", "Gemm")
SCOPES = "pkg.torch.onnx.name_scopes"
POINTS, MASKS = ("sampling_offsets", "attention_weights"), ("cls_embed", "mask_embed")
IN_FP32 = frozenset({*precision.IN_FP32, *POINTS, *MASKS})
"""Layers that stay in fp32: those that place attention's points and boxes, where rounding changes
most, and those that read masks, of which OpenVINO can't compile the last one in int8."""

LEAST_IMAGES, MOST_IMAGES = 8, 64
"""Numbers of images that calibrate; of a larger folder, images that are spread evenly."""


def calibration_images(folder: str | None, wanted: str) -> list[InputImage]:
    """Return the images of a folder that calibrate an int8 file, none for other precisions.

    Args:
        folder: The folder, or None.
        wanted: The file's precision.

    Raises:
        InputError: int8 without a folder, or a folder without int8; the folder is missing or has
            too few images.
    """
    if (wanted == "int8") != (folder is not None):
        raise InputError(
            "--precision int8 needs --calibrate DIR, images such as those of the training set, "
            "and no other precision takes it"
        )
    if folder is None:
        return []
    paths = find_images(folder)
    if len(paths) < LEAST_IMAGES:
        raise InputError(
            f"--calibrate {folder} has {len(paths)} images: give at least {LEAST_IMAGES}, such as "
            "some of the training set"
        )
    count = min(len(paths), MOST_IMAGES)
    chosen = [paths[index * len(paths) // count] for index in range(count)]
    return [InputImage(path.stem, path) for path in chosen]


def fit(images: Tensor, size: Sequence[int]) -> Tensor:
    """Return images (B, 3, H, W) in a size (H, W): ranges hardly depend on the scale."""
    same = tuple(images.shape[-2:]) == tuple(size)
    return images if same else F.interpolate(images.float(), tuple(size), mode="bilinear")


def quantize(model: Any, samples: Iterable[Sequence[Tensor]]) -> Any:
    """Return an ONNX model with its products in int8, between nodes that quantise (QDQ).

    Weights have a scale for each output channel, inputs one scale and zero point. Products of two
    computed tensors and the layers of :data:`IN_FP32` stay in fp32.

    Args:
        model: The ONNX model in fp32, with the scopes of PyTorch's exporter.
        samples: Inputs of the model, for images that calibrate.
    """
    onnx, quantization = needs("onnx"), needs("onnxruntime.quantization")
    names = [given.name for given in model.graph.input]
    kinds = quantization.QuantType
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            model,
            out,
            _Samples(names, iter(samples)),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            per_channel=True,
            activation_type=kinds.QUInt8,
            weight_type=kinds.QInt8,
            nodes_to_exclude=[node.name for node in model.graph.node if _stays_in_fp32(node)],
            extra_options={
                "MatMulConstBOnly": True,
                "OpTypesToExcludeOutputQuantization": ["MatMul"],
            },
        )
        return onnx.load(out)


class _Samples:
    """Reader of samples as ONNX Runtime expects it."""

    def __init__(self, names: Sequence[str], samples: Iterator[Sequence[Tensor]]) -> None:
        self.names, self.samples = names, samples

    def get_next(self) -> dict[str, np.ndarray] | None:
        sample = next(self.samples, None)
        if sample is None:
            return None
        return {name: part.numpy() for name, part in zip(self.names, sample, strict=True)}


def _stays_in_fp32(node: Any) -> bool:
    scopes = next((p.value for p in node.metadata_props if p.key == SCOPES), "")
    return any(part in scopes for part in IN_FP32)
