"""Weights of DETR, DINO and Lite-DETR with ResNet-50 under their authors' names, without values."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmdet.models.backbones import ResNet
from torch import Tensor

WIDTH, FFN, LAYERS, IDS = 256, 2048, 6, 91
LAYER_NAMES = [
    (f"transformer.encoder.layers.{i}", f"transformer.decoder.layers.{i}") for i in range(LAYERS)
]
Shapes = dict[str, tuple[int, ...]]


def _linear(name: str, out: int, width: int) -> Shapes:
    return {f"{name}.weight": (out, width), f"{name}.bias": (out,)}


def _norm(name: str) -> Shapes:
    return {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}


def _ffn(name: str, out: int, width: int) -> Shapes:
    return _linear(f"{name}.linear1", out, width) | _linear(f"{name}.linear2", width, out)


def _mlp(name: str, out: int, layers: int, width: int = WIDTH) -> Shapes:
    sizes = [width, *[WIDTH] * (layers - 1), out]
    shapes = {}
    for i in range(layers):
        shapes |= _linear(f"{name}.layers.{i}", sizes[i + 1], sizes[i])
    return shapes


def _attention(name: str) -> Shapes:
    merged = {f"{name}.in_proj_weight": (3 * WIDTH, WIDTH), f"{name}.in_proj_bias": (3 * WIDTH,)}
    return merged | _linear(f"{name}.out_proj", WIDTH, WIDTH)


def _deformable(name: str, levels: int = 4) -> Shapes:
    return {
        **_linear(f"{name}.sampling_offsets", 8 * levels * 4 * 2, WIDTH),
        **_linear(f"{name}.attention_weights", 8 * levels * 4, WIDTH),
        **_linear(f"{name}.value_proj", WIDTH, WIDTH),
        **_linear(f"{name}.output_proj", WIDTH, WIDTH),
    }


def _backbone() -> dict[str, Tensor]:
    weights = ResNet(depth=50).state_dict()
    # Their batch norm is frozen and counts nothing.
    return {
        f"backbone.0.body.{key}": value
        for key, value in weights.items()
        if not key.endswith("num_batches_tracked")
    }


def _weights(shapes: Shapes) -> dict[str, Tensor]:
    return _backbone() | {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def _layer(encoder: str, decoder: str, attention: Callable, cross: str) -> Shapes:
    """Layers of encoder and decoder, whose encoder and cross attention are of one kind."""
    shapes = attention(f"{encoder}.self_attn") | _ffn(encoder, FFN, WIDTH)
    shapes |= attention(f"{decoder}.{cross}") | _ffn(decoder, FFN, WIDTH)
    shapes |= _attention(f"{decoder}.self_attn")
    for j in (1, 2, 3):
        shapes |= _norm(f"{decoder}.norm{j}") | (_norm(f"{encoder}.norm{j}") if j < 3 else {})
    return shapes


def detr() -> dict[str, Tensor]:
    shapes = {
        **_norm("transformer.decoder.norm"),
        **_linear("class_embed", IDS + 1, WIDTH),
        **_mlp("bbox_embed", 4, 3),
        "query_embed.weight": (100, WIDTH),
        "input_proj.weight": (WIDTH, 2048, 1, 1),
        "input_proj.bias": (WIDTH,),
    }
    for encoder, decoder in LAYER_NAMES:
        shapes |= _layer(encoder, decoder, _attention, "multihead_attn")
    return _weights(shapes)


def dino(full_layers: tuple[int, ...] = ()) -> dict[str, Tensor]:
    """DINO; Lite-DETR's full layers have a second feed-forward network."""
    shapes = {
        **_norm("transformer.decoder.norm"),
        **_norm("transformer.enc_output_norm"),
        **_linear("transformer.enc_output", WIDTH, WIDTH),
        **_linear("transformer.enc_out_class_embed", IDS, WIDTH),
        **_mlp("transformer.enc_out_bbox_embed", 4, 3),
        **_mlp("transformer.decoder.ref_point_head", WIDTH, 2, 2 * WIDTH),
        "transformer.level_embed": (4, WIDTH),
        "transformer.tgt_embed.weight": (900, WIDTH),
        "label_enc.weight": (IDS + 1, WIDTH),
    }
    for i, (channels, kernel) in enumerate([(512, 1), (1024, 1), (2048, 1), (2048, 3)]):
        shapes |= {f"input_proj.{i}.0.weight": (WIDTH, channels, kernel, kernel)}
        shapes |= {f"input_proj.{i}.0.bias": (WIDTH,)} | _norm(f"input_proj.{i}.1")
    for i, (encoder, decoder) in enumerate(LAYER_NAMES):
        shapes |= _layer(encoder, decoder, _deformable, "cross_attn")
        if full_layers:
            for name in (f"{encoder}.self_attn", f"{decoder}.cross_attn"):
                shapes |= _linear(f"{name}.query_proj", WIDTH, WIDTH)
        if i in full_layers:
            shapes |= _linear(f"{encoder}.linear12", WIDTH, WIDTH) | _norm(f"{encoder}.norm22")
            shapes |= _linear(f"{encoder}.linear22", WIDTH, WIDTH)
        for place in ("", "transformer.decoder."):
            shapes |= _linear(f"{place}class_embed.{i}", IDS, WIDTH)
            shapes |= _mlp(f"{place}bbox_embed.{i}", 4, 3)
    return _weights(shapes)
