"""Models as pure functions of tensors, which torch.export can trace.

A graph goes around mmengine's ``forward``: backbone -> pixel decoder -> head, or backbone -> neck
-> transformer -> head. Outputs have the names that an exported file gives them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models import DDQDETR, DINO, DeformableDETR, DetectionTransformer
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.models.detectors.early_exit_detector import EarlyExitDetector, Inputs
from mmproscale.models.encoders.deformable_layer import DeformableAttention
from mmproscale.models.encoders.exit_gate import EarlyExits, mean_over_tokens
from mmproscale.models.heads.mask_head import MaskHead
from mmproscale.models.layers.token_layout import to_tokens
from mmproscale.ops import attention_backend, multi_scale_deformable_attention
from mmproscale.utils.constants import constant


class MapSizes(tuple):
    """(H, W) of each map as integers, for code that expects a tensor of them."""

    def tolist(self) -> list[tuple[int, int]]:
        """Return the pairs."""
        return list(self)


class Graph(nn.Module):
    """Model as a function of images (B, 3, H, W), normalised and padded.

    Args:
        model: A built model with its weights.
    """

    inputs: tuple[str, ...] = ("images",)
    outputs: tuple[str, ...]
    model: Any

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs, of which :attr:`outputs` has the names."""
        return self.decode(*self.model.extract_feat(images))

    def decode(self, *maps: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for the maps (B, C_i, H_i, W_i) of ``extract_feat``."""
        raise NotImplementedError

    def gate_input(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the gate's input (B, C)."""
        raise NotImplementedError


class MaskGraph(Graph):
    """Segmentor: class logits (B, Q, classes + 1) and mask logits (B, Q, H / 4, W / 4)."""

    outputs = ("class_logits", "mask_logits")

    def decode(self, *maps: Tensor) -> tuple[Tensor, ...]:
        """Return class and mask logits."""
        head = mask_head(self.model)
        decoder = head.pixel_decoder
        if getattr(decoder, "exits", ()):
            _, predictions = next(head.decode_exits(maps, (exit_of(decoder),)))
        else:
            predictions = head.decode(maps)
        return predictions.class_logits[-1], predictions.masks()

    def gate_input(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the gate's input (B, C)."""
        return mask_head(self.model).pixel_decoder.gate_input(maps)


class BoxGraph(Graph):
    """Detector: class logits (B, Q, classes) and boxes (B, Q, 4), (cx, cy, w, h) in 0..1.

    Each image fills its input: there is no padding.
    """

    outputs = ("class_logits", "boxes")

    def decode(self, *maps: Tensor) -> tuple[Tensor, ...]:
        """Return class logits and boxes, as mmdet's ``forward_transformer`` and head do."""
        model = self.model
        tokens, inputs = self._transformer_inputs(maps)
        given = inputs and dict(level_start_index=None)
        if isinstance(model, EarlyExitDetector):
            _, encoded = next(model.encode_exits((exit_of(model),), **tokens, **inputs, **given))
        else:
            encoded = model.forward_encoder(**tokens, **inputs, **given)
        queries, head_inputs = model.pre_decoder(**encoded)
        decoder_inputs = queries | dict(memory_mask=None)
        decoder_inputs |= inputs | given if inputs else dict(memory_pos=tokens["feat_pos"])
        if isinstance(model, DINO):
            head_inputs |= _run_dino_decoder(model, decoder_inputs)
        else:
            head_inputs |= model.forward_decoder(**decoder_inputs)
        classes, boxes = model.bbox_head(**head_inputs)[:2]
        return classes[-1], boxes[-1]

    def gate_input(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the gate's input (B, C)."""
        return mean_over_tokens(maps[-1])

    def _transformer_inputs(self, maps: Sequence[Tensor]) -> tuple[Inputs, Inputs]:
        """Return the tokens, and the sizes of the maps for a model of several maps."""
        model = self.model
        places = [to_tokens(model.positional_encoding(None, input=m)) for m in maps]
        if not hasattr(model, "level_embed"):  # DETR
            return dict(feat=to_tokens(maps[-1]), feat_mask=None, feat_pos=places[-1]), {}
        levels = zip(places, model.level_embed, strict=True)
        tokens = dict(
            feat=torch.cat([to_tokens(m) for m in maps], 1),
            feat_mask=None,
            feat_pos=torch.cat([place + level for place, level in levels], 1),
        )
        sizes = MapSizes((m.shape[-2], m.shape[-1]) for m in maps)
        ratios = maps[0].new_ones(maps[0].shape[0], len(maps), 2)
        return tokens, dict(spatial_shapes=sizes, valid_ratios=ratios)


def _run_dino_decoder(model: DINO, inputs: Inputs) -> Inputs:
    """Run DINO's decoder; mmdet's ``forward_decoder`` fixes the batch size for its training."""
    states, references = model.decoder(
        query=inputs["query"],
        value=inputs["memory"],
        key_padding_mask=None,
        self_attn_mask=None,
        reference_points=inputs["reference_points"],
        spatial_shapes=inputs["spatial_shapes"],
        level_start_index=None,
        valid_ratios=inputs["valid_ratios"],
        reg_branches=model.bbox_head.reg_branches,
    )
    return dict(hidden_states=states, references=list(references))


class GateGraph(nn.Module):
    """Start of a model with early exits: the gate's logits (B, exits) and the maps.

    Args:
        graph: The whole model's graph.
    """

    inputs = ("images",)

    network: Graph

    def __init__(self, graph: Graph, maps: int) -> None:
        super().__init__()
        self.network = graph
        self.outputs = ("exit_logits", *map_names(maps))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the gate's logits and the maps of ``extract_feat``."""
        maps = self.network.model.extract_feat(images)
        part = early_exits(self.network.model)
        assert part is not None and part.exit_gate is not None
        return part.exit_gate(self.network.gate_input(maps)), *maps


class ExitGraph(nn.Module):
    """Rest of a model with early exits, from the maps on, for images that leave at one exit."""

    network: Graph

    def __init__(self, graph: Graph, maps: int) -> None:
        super().__init__()
        self.network = graph
        self.inputs, self.outputs = map_names(maps), graph.outputs

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the whole model's graph."""
        return self.network.decode(*maps)


def map_names(count: int) -> tuple[str, ...]:
    """Return the names of the maps between a gate's graph and those of the exits."""
    return tuple(f"map{index}" for index in range(count))


def graph_of(model: nn.Module) -> Graph:
    """Return a model's graph.

    Raises:
        InputError: The model is neither a segmentor with a head of this package nor a detection
            transformer, or is DDQ.
    """
    if isinstance(model, DDQDETR):
        raise InputError(
            "DDQ selects queries by non-maximum suppression inside its decoder, which no exported "
            "graph has: export DINO instead"
        )
    if isinstance(model, DetectionTransformer):
        return BoxGraph(model)
    if isinstance(mask_head(model), MaskHead):
        return MaskGraph(model)
    raise InputError(
        f"a {type(model).__name__} can't be exported: use a segmentor with mmproscale.PanopticHead "
        "or mmproscale.MaskDecodeHead, or a detector of Deformable DETR's kind"
    )


def mask_head(model: nn.Module) -> Any:
    """Return the mask head of a segmentor, of mmdet's kind or mmseg's; None for other models."""
    return getattr(model, "decode_head", None) or getattr(model, "panoptic_head", None)


def exit_of(part: EarlyExits) -> int:
    """Return the exit of all images: the forced one, or the last."""
    return getattr(part, "exit", None) or part.exits[-1]


def early_exits(model: nn.Module) -> EarlyExits | None:
    """Return the part of a model that has early exits, or None."""
    return next((part for part in model.modules() if isinstance(part, EarlyExits)), None)


@contextmanager
def traceable(model: nn.Module, plugin: bool = False) -> Iterator[None]:
    """Let a model be traced inside: deformable attention in plain PyTorch, map sizes as integers.

    Args:
        model: The model.
        plugin: Keep the operator of deformable attention, for TensorRT's plugin.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(attention_backend("torch" if plugin else "grid_sample"))
        for module in model.modules():
            is_stock = isinstance(module, MultiScaleDeformableAttention)
            if is_stock and not isinstance(module, DeformableAttention):
                forward = partial(_attend, module)
                stack.enter_context(mock.patch.object(module, "forward", forward))
        if isinstance(model, DeformableDETR):
            method = partial(_proposals, model)
            stack.enter_context(mock.patch.object(model, "gen_encoder_output_proposals", method))
        yield


def _proposals(
    model: DeformableDETR, memory: Tensor, memory_mask: None, spatial_shapes: MapSizes
) -> tuple[Tensor, Tensor]:
    """Return memory and proposals (B, N, 4) as mmdet's method, for map sizes as integers."""
    levels = []
    for level, (height, width) in enumerate(spatial_shapes):
        y, x = ((torch.arange(side) + 0.5) / side for side in (height, width))
        centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)
        sides = torch.full_like(centres, 0.05 * 2.0**level)
        levels.append(torch.cat([centres, sides], -1))
    boxes = torch.cat(levels)[None].expand(memory.shape[0], -1, -1)
    invalid = ~((boxes > 0.01) & (boxes < 0.99)).all(-1, keepdim=True)
    boxes = torch.log(boxes / (1 - boxes)).masked_fill(invalid, float("inf"))
    memory = model.memory_trans_fc(memory.masked_fill(invalid, 0.0))
    return model.memory_trans_norm(memory), boxes


def _attend(
    module: MultiScaleDeformableAttention,
    query: Tensor,
    value: Tensor,
    reference_points: Tensor,
    spatial_shapes: MapSizes,
    query_pos: Tensor | None = None,
    identity: Tensor | None = None,
    key_padding_mask: Tensor | None = None,
    **_: Any,
) -> Tensor:
    """Return what mmcv's attention does (batch first), for map sizes as integers."""
    identity = query if identity is None else identity
    query = query if query_pos is None else query + query_pos
    heads, levels, points = module.num_heads, module.num_levels, module.num_points
    value = module.value_proj(value)
    if key_padding_mask is not None:
        value = value.masked_fill(key_padding_mask[..., None], 0.0)
    offsets = module.sampling_offsets(query).unflatten(-1, (heads, levels, points, 2))
    weights = module.attention_weights(query).unflatten(-1, (heads, levels * points)).softmax(-1)
    places = reference_points[:, :, None, :, None]  # BxQx1xLx1x(2 or 4)
    if reference_points.shape[-1] == 4:
        locations = places[..., :2] + offsets / points * places[..., 2:] * 0.5
    else:
        pixels = constant(tuple((w, h) for h, w in spatial_shapes), offsets.dtype, offsets)
        locations = places + offsets / pixels[:, None]
    attended = multi_scale_deformable_attention(
        value.unflatten(-1, (heads, -1)),
        spatial_shapes,
        locations,
        weights.unflatten(-1, (levels, points)),
    )
    return module.dropout(module.output_proj(attended)) + identity
