"""What a model costs: multiply-accumulates and parameters, by part, as run and as published.

The papers' figures are of Mask2Former's own form: a mask of every query at full size before the
first decoder layer and after each of them. Ours computes most of these at the size in which they
are used, so it costs less than a paper says; ``published_*`` is the papers' form.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import ceil

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from torch import Tensor, nn

from mmproscale.analysis.model_parts import (
    MASK_PREDICTION,
    REST_OF_PIXEL_DECODER,
    mask_head_path,
    model_parts,
)
from mmproscale.analysis.operations import OperationCounts, count_operations
from mmproscale.analysis.random_model import build_model, model_without_weights


@dataclass(frozen=True)
class PartCost:
    """One part of a model.

    Args:
        name: Its name.
        macs: Multiply-accumulates as run.
        params: Parameters.
        in_pixel_decoder: Whether it belongs to the papers' 'Tx. Enc.'.
    """

    name: str
    macs: int
    params: int
    in_pixel_decoder: bool = False


@dataclass(frozen=True)
class ModelCost:
    """Multiply-accumulates of one image through a model, up to class and mask logits.

    Args:
        size: (H, W) that the network sees: the image padded as the model pads it.
        parts: In the order of computation.
        published_masks: Mask prediction in the papers' form; None for a model without masks.
    """

    size: tuple[int, int]
    parts: tuple[PartCost, ...]
    published_masks: int | None = None

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
        """Multiply-accumulates of the pixel decoder as run."""
        return sum(part.macs for part in self.parts if part.in_pixel_decoder)

    @property
    def published_pixel_decoder(self) -> int:
        """The papers' 'Tx. Enc.', which is computed as they do."""
        return self.pixel_decoder

    @property
    def published_total(self) -> int:
        """The papers' total, with every mask at full size."""
        if self.published_masks is None:
            return self.total
        as_run = sum(part.macs for part in self.parts if part.name == MASK_PREDICTION)
        return self.total - as_run + self.published_masks


class Network(nn.Module):
    """A model's tensor part: what lies between the padded image and its logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def mask_head(self) -> nn.Module | None:
        """The head that holds a pixel decoder, if there is one."""
        path = mask_head_path(self.model)
        return self.model.get_submodule(path) if path else None

    def forward(self, images: Tensor) -> object:
        """Logits of ``images`` (B, 3, H, W)."""
        if hasattr(self.mask_head, "decode"):  # ours: the last masks alone are asked for
            predictions = self.mask_head.decode(self.model.extract_feat(images))
            return predictions.class_logits[-1], predictions.masks()
        size = tuple(images.shape[-2:])
        meta = dict(img_shape=size, ori_shape=size, pad_shape=size, batch_input_shape=size)
        return self.model(images, [DetDataSample(metainfo=meta) for _ in images], mode="tensor")


def build_network(config: Config) -> Network:
    """The network of a config in evaluation mode, its weights neither fetched nor set.

    Raises:
        InputError: A type that nobody registers, or a package that is not there.
    """
    model = build_model(model_without_weights(config), config.get("default_scope"))
    return Network(model).eval()


def padded_size(network: Network, size: tuple[int, int]) -> tuple[int, int]:
    """An image's size (H, W) after the model's preprocessor has padded it."""
    divisor = getattr(network.model.data_preprocessor, "pad_size_divisor", 1)
    height, width = (ceil(length / divisor) * divisor for length in size)
    return height, width


def model_cost(network: Network, size: tuple[int, int]) -> ModelCost:
    """Cost of one image of ``size`` (H, W), which is padded as the model does.

    Ours is traced on the meta device, in a second and whatever the size. A model that needs values
    (mmdet's own pixel decoder asks a tensor for its map sizes) computes for real.
    """
    size = padded_size(network, size)
    counts, maps = _trace(network, size)
    published = _published_masks(network.mask_head, maps) if maps else None
    return ModelCost(size, _part_costs(network, counts), published)


def _trace(network: Network, size: tuple[int, int]) -> tuple[OperationCounts, list[Tensor]]:
    network = copy.deepcopy(network).requires_grad_(False)
    for attention in network.modules():
        if hasattr(attention, "backend"):  # the same operations whatever will compute them
            attention.backend = "torch"
    try:
        return _count(copy.deepcopy(network).to("meta"), torch.zeros(1, 3, *size, device="meta"))
    except (NotImplementedError, RuntimeError):
        return _count(network, torch.zeros(1, 3, *size))


def _count(network: Network, images: Tensor) -> tuple[OperationCounts, list[Tensor]]:
    """Operations, and what the pixel decoder returned: mask features and encoded maps."""
    maps: list[Tensor] = []

    def keep(decoder: nn.Module, inputs: tuple, outputs: tuple) -> None:
        maps.extend([outputs[0], *outputs[1]])

    head = network.mask_head
    hook = head.pixel_decoder.register_forward_hook(keep) if head is not None else nullcontext()
    with hook:
        return count_operations(network, images), maps


def _published_masks(head: nn.Module, maps: Sequence[Tensor]) -> int:
    """All masks at full size, and their resizing to attention masks (Mask2Former section 3.2)."""
    mask_features, *encoded = maps
    masks = head.num_transformer_decoder_layers + 1
    levels = [encoded[i % head.num_transformer_feat_level] for i in range(masks)]
    resized = sum(level.shape[-2] * level.shape[-1] for level in levels)
    return head.num_queries * (masks * mask_features[0].numel() + 4 * resized)


def _part_costs(network: Network, counts: OperationCounts) -> tuple[PartCost, ...]:
    """Each operation and each parameter in one part: what has no module goes to the rest."""
    parts = list(model_parts(network.model))
    macs = {part.name: sum(counts.of(f"model.{path}") for path in part.paths) for part in parts}
    params = {part.name: _num_params(network.model, part.paths) for part in parts}
    if (head := mask_head_path(network.model)) is not None:
        decoder = [part.name for part in parts if part.in_pixel_decoder]
        whole = counts.of(f"model.{head}.pixel_decoder")
        macs[REST_OF_PIXEL_DECODER] += whole - sum(macs[name] for name in decoder)
        macs[MASK_PREDICTION] = counts.of("") - sum(macs.values())
        params["query decoder"] += sum(p.numel() for p in network.parameters()) - sum(
            params.values()
        )
    costs = [PartCost(p.name, macs[p.name], params[p.name], p.in_pixel_decoder) for p in parts]
    return tuple(cost for cost in costs if cost.macs or cost.params)


def _num_params(model: nn.Module, paths: Sequence[str]) -> int:
    below = tuple(f"{path}." for path in paths)
    return sum(p.numel() for name, p in model.named_parameters() if name.startswith(below))
