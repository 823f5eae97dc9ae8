"""Cost of a model: multiply-accumulates and parameters, by part, as run and as published.

The papers count Mask2Former in its own form: the mask projection of every pixel, and a full-size
mask of every query before the first decoder layer and after each layer. This code projects queries
instead of pixels, and computes most masks at the size in which they are used, so it costs less.
Names with ``published`` are costs in the papers' form.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from torch import Tensor, nn

from mmproscale.cost.model_parts import (
    DECODER,
    EXIT_GATE,
    MASK_PREDICTION,
    MASK_PROJECTION,
    REST,
    REST_OF_PIXEL_DECODER,
    ModelPart,
    exit_holder,
    mask_head_path,
    model_parts,
)
from mmproscale.cost.operations import OperationCounts, count_operations
from mmproscale.cost.random_model import build_model, model_without_weights
from mmproscale.models.encoders.deformable_layer import DeformableAttention
from mmproscale.models.encoders.exit_gate import EarlyExits
from mmproscale.models.heads.mask_head import MaskHead
from mmproscale.models.pixel_decoders.pem_pixel_decoder import DeformableConvolution


@dataclass(frozen=True)
class PartCost:
    """One part of a model.

    Args:
        name: Its name.
        macs: Multiply-accumulates as run.
        params: Parameters.
        in_pixel_decoder: Whether the papers' 'Tx. Enc.' includes it; in a detector, the encoder.
    """

    name: str
    macs: int
    params: int
    in_pixel_decoder: bool = False


@dataclass(frozen=True)
class ModelCost:
    """Multiply-accumulates of one image through a model, up to class and mask logits.

    Args:
        size: (H, W) of the network's input, the image after padding.
        parts: Parts in the order of computation.
        published: Costs of the parts whose published form differs; None for a model without masks.
        saved: Exit -> multiply-accumulates that it saves, where a gate chooses; the parts' costs
            are those of the last exit.
    """

    size: tuple[int, int]
    parts: tuple[PartCost, ...]
    published: Mapping[str, int] | None = None
    saved: Mapping[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Multiply-accumulates as run."""
        return sum(part.macs for part in self.parts)

    @property
    def params(self) -> int:
        """Parameters."""
        return sum(part.params for part in self.parts)

    @property
    def pixel_decoder(self) -> int:
        """Multiply-accumulates of the pixel decoder, or a detector's encoder, as run."""
        return sum(part.macs for part in self.parts if part.in_pixel_decoder)

    @property
    def published_pixel_decoder(self) -> int:
        """The papers' 'Tx. Enc.': with the mask projection of every pixel."""
        return sum(self._published(part) for part in self.parts if part.in_pixel_decoder)

    @property
    def published_total(self) -> int:
        """The papers' total: that, and every mask at full size."""
        return sum(map(self._published, self.parts))

    def _published(self, part: PartCost) -> int:
        return (self.published or {}).get(part.name, part.macs)


class Network(nn.Module):
    """Tensor part of a model, from the padded image to its logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model  # of any framework

    @property
    def mask_head(self) -> Any:
        """The head that holds a pixel decoder, or None."""
        path = mask_head_path(self.model)
        return self.model.get_submodule(path) if path else None

    def forward(self, images: Tensor) -> object:
        """Return the logits of ``images`` (B, 3, H, W)."""
        if isinstance(self.mask_head, MaskHead):  # ours computes only the last masks
            predictions = self.mask_head.decode(self.model.extract_feat(images))
            return predictions.class_logits[-1], predictions.masks()
        size = tuple(images.shape[-2:])
        meta = dict(img_shape=size, ori_shape=size, pad_shape=size, batch_input_shape=size)
        samples = [DetDataSample(metainfo=meta) for _ in images]
        if self.mask_head is not None:  # mmseg's segmentor keeps back the samples that it needs
            return self.mask_head(self.model.extract_feat(images), samples)
        return self.model(images, samples, mode="tensor")


def build_network(config: Config) -> Network:
    """Build the network of a config in evaluation mode, with weights neither fetched nor set.

    Raises:
        InputError: A type that nobody registers, or a package that is not there.
    """
    model = build_model(model_without_weights(config), config.get("default_scope"))
    return Network(model).eval()


def padded_size(network: Network, size: tuple[int, int]) -> tuple[int, int]:
    """Return an image's size (H, W) after the model's preprocessor has padded it."""
    preprocessor = network.model.data_preprocessor
    # Of mmseg's, what it pads to when it tests; of the fork's one is mmdet's too, for training.
    of_mmseg = (getattr(preprocessor, "test_cfg", None) or {}).get("size_divisor")
    divisor: Any = of_mmseg or getattr(preprocessor, "pad_size_divisor", 1)
    height, width = (ceil(length / divisor) * divisor for length in size)
    return height, width


def model_cost(network: Network, size: tuple[int, int]) -> ModelCost:
    """Compute the cost of one image of ``size`` (H, W), padded as the model pads it.

    A model of this package is traced on the meta device, in about a second at any size. A model
    that needs values (mmdet's pixel decoder asks a tensor for its map sizes) computes for real.
    """
    size = padded_size(network, size)
    traced = _trace(network, size)
    parts, published = _part_costs(network, traced), _published(network, traced)
    return ModelCost(size, parts, published, _saved_at_exits(network, traced.network))


@dataclass(frozen=True)
class _Trace:
    """Operations of the network as run, and of its pixel decoder in stock's form.

    Args:
        network: Operations of the whole network.
        pixel_decoder: Operations of the pixel decoder's ``forward``, if there is one.
        maps: Mask features and encoded maps, which that returns.
    """

    network: OperationCounts
    pixel_decoder: OperationCounts | None = None
    maps: tuple[Tensor, ...] = ()


def traceable(network: Network) -> Network:
    """Return a copy that needs only sizes: its cost does not depend on the backend.

    Where a gate would choose, all layers run.
    """
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, (DeformableAttention, DeformableConvolution)):
            module.backend = "torch"
        if isinstance(module, EarlyExits) and module.gate_chooses:
            module.exit = module.exits[-1]
    return network


def _trace(network: Network, size: tuple[int, int]) -> _Trace:
    network = traceable(network).requires_grad_(False)
    try:
        return _follow(copy.deepcopy(network).to("meta"), torch.zeros(1, 3, *size, device="meta"))
    except (NotImplementedError, RuntimeError):
        return _follow(network, torch.zeros(1, 3, *size))


@torch.no_grad()
def _follow(network: Network, images: Tensor) -> _Trace:
    counts, _ = count_operations(network, images)
    if network.mask_head is None:
        return _Trace(counts)
    maps = network.model.extract_feat(images)
    decoder_counts, (mask_features, encoded) = count_operations(
        network.mask_head.pixel_decoder, maps
    )
    return _Trace(counts, decoder_counts, (mask_features, *encoded))


def _published(network: Network, traced: _Trace) -> dict[str, int] | None:
    """Return the cost of the parts that papers count in another form than this code runs."""
    if traced.pixel_decoder is None:
        return None
    return {
        MASK_PROJECTION: traced.pixel_decoder.of("mask_feature"),
        MASK_PREDICTION: _published_masks(network.mask_head, traced.maps),
    }


def _gated(network: Network) -> tuple[str, EarlyExits] | None:
    """Return path and module of what has exits, where a gate chooses each image's exit."""
    path, holder = exit_holder(network.model) or ("", None)
    return (path, holder) if holder is not None and holder.gate_chooses else None


def _saved_at_exits(network: Network, counts: OperationCounts) -> dict[int, int]:
    """Return the multiply-accumulates that each exit of a gate saves."""
    gated = _gated(network)
    if gated is None:
        return {}
    path, holder = gated
    layers = ".".join(filter(None, ("model", path, "encoder.layers")))
    skipped = {k: holder.encoder.schedule.skipped_layers(k) for k in holder.exits}
    return {
        k: sum(counts.of(f"{layers}.{index}") for index in indices)
        for k, indices in skipped.items()
    }


def _published_masks(head: Any, maps: Sequence[Tensor]) -> int:
    """Count all full-size masks and their resizing to attention masks (Mask2Former 3.2)."""
    mask_features, *encoded = maps
    layers = getattr(head.transformer_decoder, "layers", ())
    masks = 1 + sum(getattr(layer, "reads_masks", True) for layer in layers)
    levels = [encoded[i % head.num_transformer_feat_level] for i in range(masks)]
    resized = sum(level.shape[-2] * level.shape[-1] for level in levels)
    return head.num_queries * (masks * mask_features[0].numel() + 4 * resized)


def _part_costs(network: Network, traced: _Trace) -> tuple[PartCost, ...]:
    """Count each operation and parameter in one part; those outside all modules are the rest."""
    counts, parts = traced.network, list(model_parts(network.model))
    macs = {part.name: sum(counts.of(f"model.{path}") for path in part.paths) for part in parts}
    params = {part.name: _num_params(network.model, part.paths) for part in parts}
    if traced.pixel_decoder is not None:
        own = traced.pixel_decoder
        named = sum(own.of(name) for name, _ in network.mask_head.pixel_decoder.named_children())
        if unnamed := own.of("") - named:
            macs[REST_OF_PIXEL_DECODER] += unnamed
        macs[MASK_PREDICTION] = counts.of("") - sum(macs.values())
        all_params = sum(p.numel() for p in network.parameters())
        params["query decoder"] += all_params - sum(params.values())
    else:
        if DECODER not in macs:
            parts.append(ModelPart(REST, ()))
        # A decoder of mmdet's calls the head's branches, which would count twice.
        rest = DECODER if DECODER in macs else REST
        all_params = sum(p.numel() for p in network.parameters())
        macs[rest] = macs.get(rest, 0) + counts.of("") - sum(macs.values())
        params[rest] = params.get(rest, 0) + all_params - sum(params.values())
    if gated := _gated(network):
        # The trace runs without the gate, which is one linear layer of one vector.
        macs[EXIT_GATE] = gated[1].gate_macs
    costs = [PartCost(p.name, macs[p.name], params[p.name], p.in_pixel_decoder) for p in parts]
    return tuple(cost for cost in costs if cost.macs or cost.params)


def _num_params(model: nn.Module, paths: Sequence[str]) -> int:
    below = tuple(f"{path}." for path in paths)
    return sum(p.numel() for name, p in model.named_parameters() if name.startswith(below))
