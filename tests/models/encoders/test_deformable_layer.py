"""The attention module: its config's backend is what computes, and it is one operator a layer."""

import copy

import pytest
import torch

from mmproscale.errors import InputError
from mmproscale.models.encoders import deformable_layer
from mmproscale.models.encoders.deformable_layer import DeformableAttention
from mmproscale.models.pixel_decoders.deformable_pixel_decoder import DeformablePixelDecoder
from mmproscale.ops import attention_backend

LAYER = dict(
    self_attn_cfg=dict(embed_dims=32, num_heads=4, num_levels=3, dropout=0.0, batch_first=True),
    ffn_cfg=dict(embed_dims=32, feedforward_channels=64, num_fcs=2, ffn_drop=0.0),
)
CHANNELS = (8, 16, 16, 16)


def pixel_decoder(backend):
    layer = copy.deepcopy(LAYER)
    layer["self_attn_cfg"]["backend"] = backend
    return DeformablePixelDecoder(
        in_channels=CHANNELS,
        feat_channels=32,
        out_channels=32,
        norm_cfg=dict(type="GN", num_groups=8),
        positional_encoding=dict(num_feats=16, normalize=True),
        encoder=dict(num_layers=2, layer_cfg=layer),
    ).eval()


def backbone_maps(batch=1, size=64):
    return [
        torch.randn(batch, c, size // s, size // s)
        for c, s in zip(CHANNELS, (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize(
    ("config", "context", "layers"),
    [("torch", "grid_sample", 2), ("grid_sample", "torch", 0), (None, "torch", 2)],
)
@torch.no_grad()
def test_the_configs_backend_overrules_the_context(embedding_bags, config, context, layers):
    decoder = pixel_decoder(config)
    with attention_backend(context):
        decoder(backbone_maps())
    assert len(embedding_bags) == layers


@torch.no_grad()
def test_backends_agree():
    decoder, maps = pixel_decoder(None), backbone_maps()
    outputs = []
    for name in ("torch", "grid_sample"):
        with attention_backend(name):
            outputs.append(decoder(maps)[0])
    torch.testing.assert_close(*outputs)


@torch.no_grad()
def test_feed_forward_in_parts_is_the_whole_one(monkeypatch):
    decoder, maps, widths = pixel_decoder(None), backbone_maps(batch=2), []
    monkeypatch.setattr(deformable_layer, "TOKENS_PER_STEP", 20)
    in_parts = decoder(maps)[0]
    for layer in decoder.encoder.layers:  # a hook sees the module's own call
        layer.ffn.register_forward_hook(lambda _, inputs, out: widths.append(inputs[0].shape[1]))
    torch.testing.assert_close(decoder(maps)[0], in_parts)
    assert widths == [84, 84]  # 8x8, 4x4 and 2x2 tokens


def test_an_unknown_backend_is_refused_when_built():
    known = "mmcv, torch, deformops, grid_sample"
    with pytest.raises(InputError, match=f"'cudnn' is not one of {known}"):
        pixel_decoder("cudnn")
    with pytest.raises(InputError, match="'cudnn' is not one of"):
        DeformableAttention(embed_dims=32, backend="cudnn")


def test_export_holds_one_operator_a_layer():
    decoder, maps = pixel_decoder(None), backbone_maps()
    program = torch.export.export(decoder, (maps,))
    operator = torch.ops.mmproscale.multi_scale_deformable_attention.default
    assert [node.target for node in program.graph.nodes].count(operator) == 2
    with torch.no_grad():
        torch.testing.assert_close(program.module()(maps)[0], decoder(maps)[0])
