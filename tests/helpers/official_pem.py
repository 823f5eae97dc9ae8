"""A small PEM head as the authors release it, and their reference outputs (../shared)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from mmengine.config import ConfigDict
from torch import Tensor

from mmproscale.models.heads import PanopticHead

THINGS, STUFF, QUERIES, LAYERS, WIDTH, CHANNELS = 3, 4, 12, 4, 64, 32
# Official names -> ours; the release counts input projections from high resolution to low.
PIXEL_DECODER = [
    (r"in_projections\.(\d)\.", lambda m: f"input_convs.{3 - int(m[1])}."),
    (r"conv_avg\.", "context_conv."),
    (r"csm\.(\d)\.mlp\.0\.mlp\.0\.", r"modulations.\1.squeeze.conv."),
    (r"csm\.(\d)\.mlp\.0\.mlp\.1\.", r"modulations.\1.squeeze.bn."),
    (r"csm\.(\d)\.mlp\.0\.mlp\.3\.", r"modulations.\1.expand."),
    (r"dcn\.(\d)\.dcn_offset\.", r"aggregations.\1.conv.conv_offset."),
    (r"dcn\.(\d)\.dcn\.", r"aggregations.\1.conv."),
    (r"dcn\.(\d)\.dcn_bn\.", r"aggregations.\1.bn."),
    (r"dcn\.(\d)\.up_sample\.", r"upsamplings.\1.conv."),
    (r"dcn\.(\d)\.up_bn\.", r"upsamplings.\1.norm."),
    (r"out\.", "mask_feature."),
]
LAYER = r"transformer_decoder.layers.\1"
CROSS = r"transformer_cross_attention_layers\.(\d)\."
QUERY_DECODER = [
    (CROSS + r"alpha", LAYER + ".cross_attn.alpha"),
    (CROSS + r"feature_proj\.to_query_3x3\.", LAYER + ".cross_attn.memory_conv."),
    (CROSS + r"feature_proj\.bn\.", LAYER + ".cross_attn.memory_norm."),
    (CROSS + r"feature_proj\.out\.", LAYER + ".cross_attn.memory_proj."),
    (CROSS + r"query_proj\.0\.", LAYER + ".cross_attn.query_norm."),
    (CROSS + r"query_proj\.1\.", LAYER + ".cross_attn.query_proj."),
    (CROSS + r"proj\.", LAYER + ".cross_attn.interaction."),
    (CROSS + r"final\.", LAYER + ".cross_attn.out_proj."),
    (r"transformer_self_attention_layers\.(\d)\.self_attn\.", LAYER + ".self_attn.attn."),
    (r"transformer_self_attention_layers\.(\d)\.norm\.", LAYER + ".norms.0."),
    (r"transformer_ffn_layers\.(\d)\.linear1\.", LAYER + ".ffn.layers.0.0."),
    (r"transformer_ffn_layers\.(\d)\.linear2\.", LAYER + ".ffn.layers.1."),
    (r"transformer_ffn_layers\.(\d)\.norm\.", LAYER + ".norms.1."),
    (r"decoder_norm\.", "transformer_decoder.post_norm."),
    (r"input_proj\.(\d)\.", r"decoder_input_projs.\1."),
    (r"class_embed\.", "cls_embed."),
    (r"mask_embed\.layers\.(\d)\.", lambda m: f"mask_embed.{2 * int(m[1])}."),
    (r"(query_feat|query_embed|level_embed)\.", r"\1."),
]


class Goldens:
    """Content of the file of goldens, with weights by our names."""

    def __init__(self, shared: Path) -> None:
        self._data = np.load(shared / "goldens/pem_official.npz")

    def __getitem__(self, key: str) -> Tensor:
        return torch.tensor(self._data[key])

    def pixel_decoder_weights(self) -> dict[str, Tensor]:
        return self._renamed("w/pixel_decoder/", PIXEL_DECODER)

    def query_decoder_weights(self) -> dict[str, Tensor]:
        weights = self._renamed("w/transformer_decoder/", QUERY_DECODER)
        return {k: w.flatten() if k.endswith("alpha") else w for k, w in weights.items()}

    def _renamed(self, prefix: str, names: list) -> dict[str, Tensor]:
        keys = [key for key in self._data.files if key.startswith(prefix)]
        return {_our_name(key.removeprefix(prefix), names): self[key] for key in keys}


def _our_name(official: str, names: list) -> str:
    (ours,) = (re.sub(f"^{old}", new, official) for old, new in names if re.match(old, official))
    return ours


def released_head(**changes: object) -> PanopticHead:
    """Return the head with the release's choices; ``changes`` modify its cross attention."""
    attention = dict(embed_dims=WIDTH, num_heads=8)
    ffn = dict(embed_dims=WIDTH, feedforward_channels=128, num_fcs=2)
    release = dict(normalised_over="queries", empty_masks="image")
    return PanopticHead(
        in_channels=[16, 32, 64, 128],
        strides=[4, 8, 16, 32],
        feat_channels=WIDTH,
        out_channels=48,
        num_things_classes=THINGS,
        num_stuff_classes=STUFF,
        num_queries=QUERIES,
        pixel_decoder=ConfigDict(
            type="mmproscale.PEMPixelDecoder",
            channels=CHANNELS,
            modulation=dict(type="CSM", gate="double_sigmoid"),
        ),
        positional_encoding=dict(num_feats=WIDTH // 2, normalize=True),
        transformer_decoder=dict(
            num_layers=LAYERS,
            layer_cfg=dict(
                type="PrototypeAttentionLayer",
                norm_order="pre",
                self_attn_cfg=attention,
                cross_attn_cfg=attention | release | changes,
                ffn_cfg=ffn,
            ),
        ),
        loss_cls=ConfigDict(
            type="mmdet.CrossEntropyLoss", class_weight=[1.0] * (THINGS + STUFF) + [0.1]
        ),
    ).eval()


def load(head: PanopticHead, goldens: Goldens) -> PanopticHead:
    """Return the head with the reference weights; a key that one side lacks is an error."""
    inner = goldens.pixel_decoder_weights()
    weights = {f"pixel_decoder.{key}": weight for key, weight in inner.items()}
    head.load_state_dict(weights | goldens.query_decoder_weights(), strict=True)
    return head
