"""Int8 form of an OpenVINO model: products are quantised by NNCF, with ranges of images."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.inference.exported_file import needs
from mmproscale.inference.image_sources import InputImage
from mmproscale.models.precision import IN_FP32
from mmproscale.utils.image_inputs import find_images

SCOPES = "pkg.torch.onnx.name_scopes"
MASK_LOGITS = "'baddbmm"
"""Start of an operation's scope; NNCF takes the bias of a query's mask for that of channels."""

LEAST_IMAGES, MOST_IMAGES = 8, 64
"""Numbers of images that calibrate; of a larger folder, images that are spread evenly."""


def calibration_images(folder: str | None, precision: str) -> list[InputImage]:
    """Return the images of a folder that calibrate an int8 file, none for other precisions.

    Args:
        folder: The folder, or None.
        precision: The file's precision.

    Raises:
        InputError: int8 without a folder, or a folder without int8; the folder is missing or has
            too few images.
    """
    if (precision == "int8") != (folder is not None):
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


def sensitive_nodes(model: Any) -> list[str]:
    """Return the names of an ONNX model's nodes that give mask logits, boxes or exits."""
    scopes = {
        node.name: next((p.value for p in node.metadata_props if p.key == SCOPES), "")
        for node in model.graph.node
    }
    parts = (*IN_FP32, MASK_LOGITS)
    return [name for name, scope in scopes.items() if any(part in scope for part in parts)]


def quantize(model: Any, samples: Iterable[Sequence[Tensor]], kept: Sequence[str]) -> Any:
    """Return an OpenVINO model with its products in int8, as NNCF quantises transformers.

    Weights take half of int8's range: CPUs without VNNI sum two products in 16 bits, and clip sums
    of the whole range.

    Args:
        model: The OpenVINO model in fp32.
        samples: Inputs of the model, for images that calibrate.
        kept: Names of nodes that stay in fp32.
    """
    nncf = needs("nncf")
    nncf.set_log_level(logging.ERROR)
    inputs = [[part.numpy() for part in sample] for sample in samples]
    present = {node.get_friendly_name() for node in model.get_ops()}
    return nncf.quantize(
        model,
        nncf.Dataset(inputs),
        subset_size=len(inputs),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER,
        ignored_scope=nncf.IgnoredScope(names=[name for name in kept if name in present]),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix.ENABLE
        ),
    )
