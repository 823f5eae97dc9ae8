"""The contract of pixel decoders, held by every registered one."""

import pytest
import torch
from torch import nn

from mmproscale.errors import InputError
from mmproscale.models.pixel_decoders import PixelDecoder
from mmproscale.models.pixel_decoders.pixel_decoder import Encoded
from mmproscale.registry import MODELS, build_part

CHANNELS, STRIDES = (8, 16, 24, 32), (4, 8, 16, 32)
LAYER = dict(
    self_attn_cfg=dict(embed_dims=32, num_heads=4, num_levels=3, num_points=2, dropout=0.0),
    ffn_cfg=dict(embed_dims=32, feedforward_channels=64, num_fcs=2, ffn_drop=0.0),
)
SMALL = dict(
    in_channels=CHANNELS,
    feat_channels=32,
    out_channels=16,
    positional_encoding=dict(num_feats=16, normalize=True),
)
DECODERS = {
    "DeformablePixelDecoder": SMALL | dict(encoder=dict(num_layers=2, layer_cfg=LAYER)),
    "ProScalePixelDecoder": SMALL | dict(encoder=dict(layer_cfg=LAYER)),
    "HybridPixelDecoder": SMALL | dict(encoder=dict(num_layers=1, layer_cfg=LAYER)),
    "PEMPixelDecoder": dict(in_channels=CHANNELS, feat_channels=32, out_channels=16),
}


@pytest.fixture(params=DECODERS)
def decoder(request) -> PixelDecoder:
    return build_part(dict(type=request.param, **DECODERS[request.param])).eval()


@pytest.fixture
def feats() -> list[torch.Tensor]:
    return [
        torch.randn(2, channels, 96 // stride, 128 // stride)
        for channels, stride in zip(CHANNELS, STRIDES, strict=True)
    ]


def test_every_registered_pixel_decoder_is_in_this_file():
    build_part(dict(type="LPE"))  # has the registry import its modules
    names = {name for name in MODELS.module_dict if name.endswith("PixelDecoder")}
    assert names == set(DECODERS)


@torch.no_grad()
def test_forward_is_embed_and_the_mask_projection(decoder, feats):
    assert isinstance(decoder, PixelDecoder)
    encoded = decoder.embed(feats)
    assert isinstance(encoded, Encoded)
    mask_features, maps = decoder(feats)
    torch.testing.assert_close(mask_features, decoder.mask_feature(encoded.embedding))
    for ours, expected in zip(maps, encoded.maps, strict=True):
        torch.testing.assert_close(ours, expected)
    assert mask_features.shape == (2, 16, 24, 32)


@torch.no_grad()
def test_maps_have_the_stated_channels_and_strides(decoder, feats):
    encoded = decoder.embed(feats)
    strides = decoder.encoded_strides[: len(encoded.maps)]
    for feature_map, stride in zip(encoded.maps, strides, strict=True):
        assert feature_map.shape == (2, decoder.map_channels, 96 // stride, 128 // stride)


@torch.no_grad()
def test_encode_ends_where_embed_does(decoder, feats):
    embedded = decoder.embed(feats)
    if not decoder.exits:
        assert embedded.exits == ()
        with pytest.raises(InputError, match="PEMPixelDecoder has no exits, but exits=\\(2,\\) is"):
            decoder.encode(feats, (2,))
        return
    encoded = list(decoder.encode(feats, decoder.exits))
    assert [e.exits for e in encoded] == [(exit_, exit_) for exit_ in decoder.exits]
    assert embedded.exits == encoded[-1].exits
    torch.testing.assert_close(encoded[-1].embedding, embedded.embedding)


@torch.no_grad()
def test_a_linear_projection_is_linear(decoder, feats):
    assert decoder.projects_linearly == isinstance(decoder.mask_feature, nn.Conv2d)
    one, other = (torch.randn(2, decoder.map_channels, 6, 8) for _ in range(2))
    project = decoder.mask_feature
    sums = project(one) + project(other) - project(torch.zeros_like(one))
    assert torch.allclose(project(one + other), sums, atol=1e-5) == decoder.projects_linearly


def test_a_contract_without_embed_cannot_be_built():
    with pytest.raises(TypeError, match="embed"):
        PixelDecoder(STRIDES, (32, 16, 8), 32)
