"""Parts of a model, as a table of costs shows them, and the modules that each is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from mmdet.models.dense_heads import Mask2FormerHead
from torch import nn

from mmproscale.models.encoders.exit_gate import EarlyExits, LayeredEncoder

# In the order of computation. Operations outside these modules count as pixel embedding.
PIXEL_DECODER_PARTS = {
    "input projections": ("input_convs", "context_conv", "level_encoding"),
    "context modulation": ("modulations",),
    "feature aggregation": ("aggregations", "upsamplings"),
    "exit gate": ("exit_gate",),
    "token recalibration": ("recalibration",),
    "encoder": ("encoder",),
    "cross-scale fusion": ("fusion",),
    "pixel embedding": ("lateral_convs", "output_convs"),
    "mask projection": ("mask_feature",),
}
EXIT_GATE = "exit gate"
MASK_PROJECTION = "mask projection"
REST_OF_PIXEL_DECODER = "pixel embedding"
MASK_PREDICTION = "mask prediction"
DECODER = "decoder"
REST = "rest"


@dataclass(frozen=True)
class ModelPart:
    """Part of a model.

    Args:
        name: Its name.
        paths: Paths of its modules in the model.
        in_pixel_decoder: Whether the papers' 'Tx. Enc.' includes it; in a detector, the encoder.
    """

    name: str
    paths: tuple[str, ...]
    in_pixel_decoder: bool = False


def mask_head_path(model: nn.Module) -> str | None:
    """Return the name of the Mask2Former head (of mmdet, mmseg or ours), or None without one."""
    heads = (name for name, m in model.named_children() if isinstance(m, Mask2FormerHead))
    return next(heads, None)


def exit_holder(model: nn.Module) -> tuple[str, EarlyExits] | None:
    """Return path and module of the pixel decoder or detector whose encoder has exits, if any."""
    modules = model.named_modules()
    return next(((path, m) for path, m in modules if isinstance(m, EarlyExits)), None)


def model_parts(model: nn.Module) -> Iterator[ModelPart]:
    """Yield the parts of a model in the order of computation."""
    head = mask_head_path(model)
    yield ModelPart("backbone", ("backbone", "neck"))
    if head is not None:
        yield from _pixel_decoder_parts(model.get_submodule(f"{head}.pixel_decoder"), head)
        yield ModelPart("query decoder", tuple(_query_decoder(model.get_submodule(head), head)))
        yield ModelPart(MASK_PREDICTION, ())
    else:
        yield from _detector_encoder_parts(model)
    apart = ("backbone", "neck", "data_preprocessor", "recalibration", "encoder", head)
    for name, _ in model.named_children():
        if name not in apart:
            yield ModelPart(name.replace("_", " "), (name,))


def _detector_encoder_parts(model: nn.Module) -> Iterator[ModelPart]:
    """Yield the parts of an encoder between a detector's neck and its decoder."""
    children = dict(model.named_children())
    if "recalibration" in children:
        yield ModelPart("token recalibration", ("recalibration",), in_pixel_decoder=True)
    if isinstance(model, EarlyExits):
        yield from _stages(model.encoder, "encoder")
    elif "encoder" in children:
        yield ModelPart("encoder", ("encoder",), in_pixel_decoder=True)


def _pixel_decoder_parts(decoder: nn.Module, head: str) -> Iterator[ModelPart]:
    children = dict(decoder.named_children())
    for name, modules in PIXEL_DECODER_PARTS.items():
        paths = tuple(f"{head}.pixel_decoder.{m}" for m in modules if m in children)
        if name == "encoder" and isinstance(decoder, EarlyExits):
            yield from _stages(decoder.encoder, paths[0])
        elif paths:
            yield ModelPart(name, paths, in_pixel_decoder=True)


def _stages(encoder: LayeredEncoder, path: str) -> Iterator[ModelPart]:
    """Yield one part for each stage of a schedule."""
    stages = encoder.schedule.stages
    ends = accumulate(stage.repeats for stage in stages)
    for number, (stage, end) in enumerate(zip(stages, ends, strict=True), start=1):
        layers = tuple(f"{path}.layers.{index}" for index in range(end - stage.repeats, end))
        yield ModelPart(f"encoder stage {number}: {stage}", layers, in_pixel_decoder=True)


def _query_decoder(head: Any, path: str) -> Iterator[str]:
    """Yield all modules of the head except those that compute masks themselves."""
    for name, _ in head.named_children():
        if name == "transformer_decoder":
            yield from (f"{path}.{name}.{n}" for n, _ in head.transformer_decoder.named_children())
        elif name != "pixel_decoder":
            yield f"{path}.{name}"
