"""Start of an encoder from weights that were trained with another schedule.

A Mask2Former updates and reads all levels in all layers. The encoders here have another number of
layers, layers that read fewer levels, and token recalibration (TRC). What they share is copied, so
that a trained Mask2Former becomes a cheap one after a short training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mmproscale.models.encoders.deformable_layer import DeformableAttention
from mmproscale.models.encoders.scheduled_encoder import ScheduledEncoder
from mmproscale.models.pixel_decoders.pixel_embedding import LightPixelEmbedding


@dataclass
class WarmStart:
    """Weights for a model, and how they differ from those of the file.

    Attributes:
        weights: The file's weights, and those that were made of them.
        sliced: Weights that keep the rows of the levels that their layer reads.
        repeated: Layer of the model -> layer of the file, where the numbers differ; from 0.
        unused: Layers of the file that no layer of the model starts from; from 0.
        doubled: Modules whose scale and shift are doubled, since TRC starts as a gate of 1/2.
        replaced: Convolutions that the mask projection takes over from, for LPE.
    """

    weights: dict[str, Tensor]
    sliced: list[str] = field(default_factory=list)
    repeated: dict[int, int] = field(default_factory=dict)
    unused: list[int] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)

    def fitting(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the weights that have a name and shape of the model's weights."""
        own = model.state_dict()
        return {k: w for k, w in self.weights.items() if k in own and own[k].shape == w.shape}

    def lines(self, source: str) -> list[str]:
        """Return one line for each kind of change, after a first one; none without changes.

        Args:
            source: Name of the file.
        """
        layers = ", ".join(f"{own + 1} from {theirs + 1}" for own, theirs in self.repeated.items())
        unused = ", ".join(str(layer + 1) for layer in self.unused)
        parts = [
            (self.unused, f"encoder layers of the file that are left out: {unused}"),
            (self.repeated, f"encoder layers from another one of the file: {layers}"),
            (self.sliced, f"{len(self.sliced)} weights keep the levels that their layer reads"),
            (
                self.doubled,
                f"TRC starts as a gate of 1/2; doubled for it: {', '.join(self.doubled)}",
            ),
            (self.replaced, f"the mask projection takes over {', '.join(self.replaced)} for LPE"),
        ]
        changes = [f"  {line}" for changed, line in parts if changed]
        return [f"{source} starts another encoder", *changes] if changes else []


def warm_start(model: nn.Module, weights: Mapping[str, Tensor]) -> WarmStart:
    """Fit the weights of an encoder with another schedule to a model's encoder.

    Weights of a model with the same encoder are returned as they are.

    Args:
        model: The model that will start from them.
        weights: Weights under the model's names, in any shape; not changed.
    """
    start = WarmStart(dict(weights))
    for name, module in model.named_modules():
        if isinstance(module, ScheduledEncoder):
            prefix = name.removesuffix("encoder")
            holder = model.get_submodule(prefix.rstrip("."))  # a pixel decoder or a detector
            levels: Any = getattr(holder, "encoded_strides", None) or holder.strides
            _fit_layers(start, module, f"{name}.layers.", levels)
            _neutral_recalibration(start, holder, prefix)
            _linear_embedding(start, holder, prefix)
    return start


def _fit_layers(
    start: WarmStart, encoder: ScheduledEncoder, prefix: str, levels: tuple[int, ...]
) -> None:
    """Give each layer the weights of one of the file's layers, for the levels that it reads.

    Args:
        start: Changed in place.
        encoder: The model's encoder.
        prefix: Beginning of the names of its layers' weights.
        levels: Strides of the levels, in the order of the tokens.
    """
    found: dict[int, dict[str, Tensor]] = {}
    for key in [key for key in start.weights if key.startswith(prefix)]:
        number, _, rest = key.removeprefix(prefix).partition(".")
        if number.isdecimal():
            found.setdefault(int(number), {})[rest] = start.weights.pop(key)
    if not found:
        return
    stages = encoder.schedule.layers
    sources = [source_layer(index, len(stages), max(found) + 1) for index in range(len(stages))]
    start.unused = sorted({*found} - {*sources})
    for index, (stage, source) in enumerate(zip(stages, sources, strict=True)):
        if source != index:
            start.repeated[index] = source
        kept = [i for i, stride in enumerate(levels) if stride in stage.keys]
        attention = encoder.layers[index].self_attn
        for rest, weight in found.get(source, {}).items():
            fitted = _level_rows(attention, rest, weight, kept, len(levels))
            start.weights[f"{prefix}{index}.{rest}"] = fitted
            if fitted is not weight:
                start.sliced.append(f"{prefix}{index}.{rest}")


def source_layer(index: int, count: int, source_count: int) -> int:
    """Return the file's layer, of ``source_count``, that the model's layer starts from.

    Args:
        index: The model's layer, of ``count``; all are counted from 0.
    """
    return index if index < source_count else source_count - 1 - (count - 1 - index) % source_count


def _level_rows(
    attention: DeformableAttention, name: str, weight: Tensor, kept: list[int], levels: int
) -> Tensor:
    """Return the rows of the kept levels, of weights whose rows are heads x levels x points."""
    if not name.startswith(("self_attn.sampling_offsets.", "self_attn.attention_weights.")):
        return weight
    heads, rows = attention.num_heads, attention.num_points * (2 if "offsets" in name else 1)
    if len(kept) == levels or weight.shape[:1] != (heads * levels * rows,):
        return weight
    by_level = weight.unflatten(0, (heads, levels, rows))  # (H L P) C -> H L P C
    return by_level[:, kept].flatten(0, 2)


def _neutral_recalibration(start: WarmStart, holder: Any, prefix: str) -> None:
    """Let TRC start as a gate of 1/2, and double what it multiplies, if the file has no TRC."""
    phi = f"{prefix}recalibration.phi."
    if not getattr(holder, "recalibration", None) or f"{phi}weight" in start.weights:
        return
    projections, gated = _projections(holder), holder.encoder.schedule.strides[:-1]
    last = [f"{prefix}{projections[stride]}" for stride in gated if stride in projections]
    if len(last) < len(gated) or not all(f"{name}.weight" in start.weights for name in last):
        return
    for name in last:
        for key in (f"{name}.weight", f"{name}.bias"):
            if key in start.weights:
                start.weights[key] = 2 * start.weights[key]
    start.doubled = last
    for name, parameter in holder.recalibration.phi.named_parameters():
        start.weights[f"{phi}{name}"] = torch.zeros(parameter.shape)


def _projections(holder: Any) -> dict[int, str]:
    """Return the module that gives each level its scale and shift: stride -> name."""
    if hasattr(holder, "input_convs"):
        named = [(f"input_convs.{i}", conv) for i, conv in enumerate(holder.input_convs)]
        strides = holder.encoded_strides
    else:  # a detector: mmdet's ChannelMapper
        neck, strides = holder.neck, holder.strides
        lists = [(name, getattr(neck, name, None)) for name in ("convs", "extra_convs")]
        named = [(f"neck.{n}.{i}", c) for n, convs in lists for i, c in enumerate(convs or ())]
    ends = [f"{n}.{conv.norm_name if conv.with_norm else 'conv'}" for n, conv in named]
    return dict(zip(strides, ends, strict=False))


# Less, or more, of the linear part gives a trained model higher losses (docs/warm_start.md).
SHRINKAGE = 0.5
SHIFT = 2.0


def _linear_embedding(start: WarmStart, holder: Any, prefix: str) -> None:
    """Let LPE and the mask projection start as the linear part of the convolution that LPE drops.

    Mask2Former's embedding is ReLU(g GN(W x) + b), LPE's ReLU(g' GN(pool x) + b'). With a shift b'
    of two deviations, LPE's ReLU passes nearly all, and W goes into the projection.
    """
    embeddings: Any = getattr(holder, "output_convs", ())
    if len(embeddings) != 1 or not isinstance(embeddings[0], LightPixelEmbedding):
        return
    weights, embedding = start.weights, f"{prefix}output_convs.0."
    conv, scale, shift = (f"{embedding}{name}" for name in ("conv.weight", "gn.weight", "gn.bias"))
    projection, bias = f"{prefix}mask_feature.weight", f"{prefix}mask_feature.bias"
    if not all(key in weights for key in (conv, scale, shift, projection, bias)):
        return
    linear, mean = _linear_part(
        weights.pop(conv), weights[scale], weights[shift], embeddings[0].gn.num_groups
    )
    projected = weights[projection].flatten(1)  # O x C
    taken = SHRINKAGE * projected @ linear
    weights[bias] = weights[bias] + projected @ mean - SHIFT * taken.sum(1)
    weights[projection] = taken[..., None, None]
    weights[scale] = torch.ones_like(weights[scale])
    weights[shift] = torch.full_like(weights[shift], SHIFT)
    start.replaced = [conv]


def _linear_part(
    kernel: Tensor, scale: Tensor, shift: Tensor, groups: int
) -> tuple[Tensor, Tensor]:
    """Return A (C, C) and m (C,) with ReLU(g GN(W x) + b) = m + A x, on average over normal x.

    Args:
        kernel: W, (C, C, 3, 3), of which the taps are summed.
        scale: g, (C,).
        shift: b, (C,).
        groups: Number of groups of GN.
    """
    taps = kernel.sum((2, 3))  # C x C
    power = taps.square().sum(1).view(groups, -1).mean(1)  # of each group
    taps = taps / power.sqrt().repeat_interleave(len(taps) // groups)[:, None]
    size = scale.abs().clamp_min(1e-6)
    share = torch.special.ndtr(shift / size)  # of values that ReLU passes
    density = torch.exp(-(shift / size).square() / 2) / math.sqrt(2 * math.pi)
    return (share * scale)[:, None] * taps, shift * share + size * density
