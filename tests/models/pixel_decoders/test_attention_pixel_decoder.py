"""Common part of pixel decoders with attention: levels, top-down fusion, and errors."""

import pytest
import torch
import torch.nn.functional as F
from helpers.pixel_decoders import backbone_maps, deformable_decoder

from mmproscale.errors import InputError


@pytest.mark.parametrize("levels", [(32,), (32, 16), (32, 16, 8), (32, 16, 8, 4)])
@torch.no_grad()
def test_any_number_of_levels(levels):
    decoder = deformable_decoder(
        dict(type="m2f", layers=1, levels=levels),
        num_levels=len(levels),
        recalibration=dict(type="TRC") if len(levels) > 1 else None,
        num_outs=min(3, len(levels)),
        pixel_embedding=None if 4 in levels else dict(type="LPE"),
    )
    mask_features, maps = decoder(backbone_maps(height=100, width=68))
    assert mask_features.shape == (2, 64, 25, 17)
    assert [m.shape[-2:] for m in maps] == [(4, 3), (7, 5), (13, 9)][: len(maps)]


@torch.no_grad()
def test_finer_maps_are_fused_top_down():
    decoder, feats = (
        deformable_decoder(dict(type="m2f", layers=1, levels=(32, 16)), 2),
        backbone_maps(),
    )
    ((_, maps, embedding),) = decoder.encode(feats, (1,))
    assert decoder.encoded_strides == (32, 16) and decoder.fused_strides == (8, 4)
    x = maps[1]
    for feat, lateral, embed in zip(
        feats[1::-1], decoder.lateral_convs, decoder.output_convs, strict=True
    ):
        x = embed(lateral(feat) + F.interpolate(x, feat.shape[-2:], mode="bilinear"))
        if feat is feats[1]:
            torch.testing.assert_close(maps[2], x)
    torch.testing.assert_close(embedding, x)


def test_outputs_computed_again_have_the_same_gradients():
    decoder, feats = deformable_decoder(dict(type="m2f", layers=2)), backbone_maps()
    gradients = []
    for with_cp in (False, True):
        decoder.zero_grad()
        sum(
            encoded.embedding.square().sum() for encoded in decoder.encode(feats, (1, 2), with_cp)
        ).backward()
        gradients.append(decoder.lateral_convs[0].conv.weight.grad.clone())
    torch.testing.assert_close(*gradients)
    assert gradients[0].any()


def test_a_stride_for_each_map():
    with pytest.raises(InputError, match=r"3 in_channels \(16, 32, 64\) but 4 strides"):
        deformable_decoder(dict(type="m2f", layers=1), in_channels=[16, 32, 64])


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (dict(pixel_embedding=None), "pixel_embedding=None does not fit"),
        (dict(num_outs=5), "num_outs=5: it has maps"),
        (dict(num_outs=0), "num_outs=0: it has maps"),
    ],
)
def test_invalid_arguments_are_errors(arguments, fault):
    with pytest.raises(InputError, match=fault):
        deformable_decoder(dict(type="m2f", layers=1), **arguments)
