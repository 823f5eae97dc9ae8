"""Which modules of a model make which part of it, as a table of costs shows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from torch import nn

HEADS = ("panoptic_head", "decode_head")
# In the order of computation; what else a pixel decoder computes makes the pixel embedding.
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
    """A part's name, the paths of its modules in the model, and whether it is the papers' Enc.

    Of a detector that is its encoder.
    """

    name: str
    paths: tuple[str, ...]
    in_pixel_decoder: bool = False


def mask_head_path(model: nn.Module) -> str | None:
    """The head of Mask2Former's kind, whose queries read several levels of a pixel decoder.

    None where there is none: MaskFormer's own has a pixel decoder too, but reads one map.
    """
    wanted = "num_transformer_feat_level"
    return next((name for name in HEADS if hasattr(getattr(model, name, None), wanted)), None)


def exit_holder(model: nn.Module) -> tuple[str, nn.Module] | None:
    """Path and module of what has an encoder with exits: the pixel decoder, or a detector itself.

    None where there is none.
    """
    head = mask_head_path(model)
    path = f"{head}.pixel_decoder" if head else ""
    holder = model.get_submodule(path)
    return (path, holder) if hasattr(holder, "exits") and hasattr(holder, "exit") else None


def model_parts(model: nn.Module) -> Iterator[ModelPart]:
    """The parts of a model in the order of computation."""
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
    """Of a detector with an encoder between its neck and its decoder."""
    encoder = getattr(model, "encoder", None)
    if getattr(model, "recalibration", None) is not None:
        yield ModelPart("token recalibration", ("recalibration",), in_pixel_decoder=True)
    if hasattr(encoder, "schedule"):
        yield from _stages(encoder, "encoder")
    elif encoder is not None:
        yield ModelPart("encoder", ("encoder",), in_pixel_decoder=True)


def _pixel_decoder_parts(decoder: nn.Module, head: str) -> Iterator[ModelPart]:
    for name, modules in PIXEL_DECODER_PARTS.items():
        present = [module for module in modules if getattr(decoder, module, None) is not None]
        paths = [f"{head}.pixel_decoder.{module}" for module in present]
        if name == "encoder" and paths and hasattr(decoder.encoder, "schedule"):
            yield from _stages(decoder.encoder, paths[0])
        elif paths:
            yield ModelPart(name, tuple(paths), in_pixel_decoder=True)


def _stages(encoder: nn.Module, path: str) -> Iterator[ModelPart]:
    """One part for each stage of a schedule."""
    stages = encoder.schedule.stages
    ends = accumulate(stage.repeats for stage in stages)
    for number, (stage, end) in enumerate(zip(stages, ends, strict=True), start=1):
        layers = tuple(f"{path}.layers.{index}" for index in range(end - stage.repeats, end))
        yield ModelPart(f"encoder stage {number}: {stage}", layers, in_pixel_decoder=True)


def _query_decoder(head: nn.Module, path: str) -> Iterator[str]:
    """All modules of the head but those that compute masks themselves."""
    for name, _ in head.named_children():
        if name == "transformer_decoder":
            yield from (f"{path}.{name}.{n}" for n, _ in head.transformer_decoder.named_children())
        elif name != "pixel_decoder":
            yield f"{path}.{name}"
