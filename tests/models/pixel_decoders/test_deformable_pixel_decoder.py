"""The pixel decoder: at parity with the authors' release, the paper and stock mmdet."""

import copy

import numpy as np
import pytest
import torch
from helpers.pixel_decoders import LAYER, SMALL, backbone_maps, deformable_decoder
from helpers.stock_attention import stock_as_it_is
from mmdet.models.layers import MSDeformAttnPixelDecoder
from mmengine.config import ConfigDict

from mmproscale.errors import InputError
from mmproscale.models.pixel_decoders.deformable_pixel_decoder import DeformablePixelDecoder
from mmproscale.registry import MODELS

# Official names -> ours, for the parts that differ.
OFFICIAL = [
    ("input_proj.{i}.0", "input_convs.{i}.conv"),
    ("input_proj.{i}.1", "input_convs.{i}.gn"),
    ("transformer.level_embed", "level_encoding.weight"),
    ("transformer.encoder.token_excite.ops", "recalibration.phi"),
    ("transformer.encoder.", "encoder."),
    ("norm1", "norms.0"),
    ("norm2", "norms.1"),
    ("linear1", "ffn.layers.0.0"),
    ("linear2", "ffn.layers.1"),
    ("adapter_1.norm", "lateral_convs.0.gn"),
    ("adapter_1", "lateral_convs.0.conv"),
    ("layer_1.norm", "output_convs.0.gn"),
    ("mask_features", "mask_feature"),
]


def our_name(official: str) -> str:
    for theirs, ours in OFFICIAL:
        for i in range(3):
            official = official.replace(theirs.format(i=i), ours.format(i=i))
    return official


@pytest.mark.parametrize(
    ("golden", "token_layout"), [("proscale_paper", "paper"), ("proscale_official", "release")]
)
@torch.no_grad()
def test_proscale_golden(shared, golden, token_layout):
    data = np.load(shared / "goldens" / f"{golden}.npz")
    decoder = MODELS.build(
        dict(
            type="mmproscale.ProScalePixelDecoder",
            encoder=dict(
                schedule=dict(type="pro_scale", repeats=(2, 1, 2)), layer_cfg=copy.deepcopy(LAYER)
            ),
            recalibration=dict(type="TRC", token_layout=token_layout),
            **SMALL,
        )
    ).eval()
    weights = {our_name(k[2:]): torch.tensor(data[k]) for k in data.files if k.startswith("w/")}
    decoder.load_state_dict(weights, strict=True)
    mask_features, maps = decoder([torch.tensor(data[f"in/res{i}"]) for i in (2, 3, 4, 5)])
    expected = torch.tensor(data["out/mask_features"])
    torch.testing.assert_close(mask_features, expected, rtol=0, atol=1e-4)
    for i, feature_map in enumerate(maps):
        expected = torch.tensor(data[f"out/multi_scale_features{i}"])
        torch.testing.assert_close(feature_map, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(96, 64), (100, 76)])
def test_m2f_schedule_is_stock_mmdets_decoder_forward_and_backward(size):
    encoder = ConfigDict(num_layers=3, layer_cfg=LAYER)
    stock = MSDeformAttnPixelDecoder(encoder=copy.deepcopy(encoder), **SMALL)
    stock.init_weights()
    for name, parameter in stock.named_parameters():
        # Zeros hide mistakes: mmcv starts the attention's offsets and weights with them.
        if "sampling_offsets" in name or "attention_weights" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    ours = DeformablePixelDecoder(
        encoder=dict(schedule=dict(type="m2f", layers=3), layer_cfg=copy.deepcopy(LAYER)), **SMALL
    )
    ours.load_state_dict(stock.state_dict(), strict=True)
    feats = backbone_maps(height=size[0], width=size[1])
    outputs, gradients = [], []
    for decoder in (stock, ours):
        with stock_as_it_is():
            mask_features, maps = decoder(feats)
        outputs.append([mask_features, *maps])
        sum(output.square().mean() for output in outputs[-1]).backward()
        gradients.append({name: p.grad for name, p in decoder.named_parameters()})
    for theirs, mine in zip(*outputs, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_encode_yields_at_each_exit_what_a_shorter_encoder_gives():
    decoder = deformable_decoder(dict(type="m2f", layers=3), recalibration=dict(type="TRC"))
    feats = backbone_maps()
    exits = list(decoder.encode(feats, exits=(1, 3)))
    assert [encoded.exits for encoded in exits] == [(1,) * len(feats[0]), (3,) * len(feats[0])]
    shorter = deformable_decoder(dict(type="m2f", layers=1), recalibration=dict(type="TRC"))
    shorter.load_state_dict(decoder.state_dict(), strict=False)
    mask_features, maps = shorter(feats)
    torch.testing.assert_close(decoder.mask_feature(exits[0][2]), mask_features)
    for ours, expected in zip(exits[0][1], maps, strict=True):
        torch.testing.assert_close(ours, expected)


def test_num_layers_in_place_of_a_schedule_is_mask2former():
    decoder = DeformablePixelDecoder(encoder=dict(num_layers=2, layer_cfg=LAYER), **SMALL)
    assert decoder.encoder.schedule.name == "M2F x2"


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (dict(num_layers=6, schedule=dict(type="m2f"), layer_cfg=LAYER), "give one"),
        (dict(layer_cfg=LAYER), "give one"),
        (dict(schedule=dict(type="m2f")), "no layer_cfg"),
        (dict(schedule=dict(type="m2f"), layer_cfg=LAYER, num_cpp=1), "num_cpp"),
        (dict(schedule=dict(type="m2f"), layer_cfg=LAYER, num_cp=2), "num_cp"),
        (dict(schedule=dict(type="m2f", levels=(64, 32, 16)), layer_cfg=LAYER), "level 64"),
    ],
)
def test_an_encoder_that_cannot_be_is_refused_when_built(encoder, message):
    with pytest.raises(InputError, match=message):
        DeformablePixelDecoder(encoder=encoder, **SMALL)


def test_registered_names_and_pro_scales_defaults():
    decoder = MODELS.build(
        dict(type="mmproscale.ProScalePixelDecoder", encoder=dict(layer_cfg=LAYER), **SMALL)
    )
    assert decoder.encoder.schedule.name == "PRO-SCALE (3,3,3)"
    assert type(decoder.recalibration) is MODELS.get("TRC") is MODELS.get("TokenRecalibration")
    assert type(decoder.output_convs[0]) is MODELS.get("LPE") is MODELS.get("LightPixelEmbedding")
    plain = MODELS.get("DeformablePixelDecoder")(encoder=dict(num_layers=1, layer_cfg=LAYER))
    assert plain.recalibration is None
    assert type(plain.output_convs[0]) is MODELS.get("ConvPixelEmbedding")


def test_under_mmsegs_own_mask2former_head():
    from mmengine.registry import DefaultScope
    from mmseg.models.decode_heads import Mask2FormerHead

    attention = dict(embed_dims=64, num_heads=8, dropout=0.0, batch_first=True)
    with DefaultScope.overwrite_default_scope("mmseg"):
        head = Mask2FormerHead(
            num_classes=5,
            in_channels=[16, 32, 64, 128],
            strides=[4, 8, 16, 32],
            feat_channels=64,
            out_channels=64,
            num_queries=7,
            num_transformer_feat_level=3,
            align_corners=False,
            pixel_decoder=ConfigDict(
                type="mmproscale.ProScalePixelDecoder",
                encoder=dict(layer_cfg=LAYER),
                positional_encoding=SMALL["positional_encoding"],
            ),
            transformer_decoder=ConfigDict(
                num_layers=1,
                return_intermediate=True,
                layer_cfg=dict(
                    self_attn_cfg=attention,
                    cross_attn_cfg=attention,
                    ffn_cfg=LAYER["ffn_cfg"],
                ),
            ),
            positional_encoding=SMALL["positional_encoding"],
            loss_cls=ConfigDict(type="mmdet.CrossEntropyLoss", class_weight=[1.0] * 5 + [0.1]),
            loss_mask=ConfigDict(type="mmdet.CrossEntropyLoss", use_sigmoid=True),
            loss_dice=ConfigDict(type="mmdet.DiceLoss", use_sigmoid=True, activate=True),
        )
        head.init_weights()
        class_logits, mask_logits = head(backbone_maps(), [None, None])
    assert class_logits[-1].shape == (2, 7, 6)
    assert mask_logits[-1].shape == (2, 7, 24, 16)
