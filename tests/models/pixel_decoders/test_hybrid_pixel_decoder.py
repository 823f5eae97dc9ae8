"""RT-M2F's pixel decoder: RT-DETR's fusion, its folded form, its cost, and what it refuses."""

import copy

import pytest
import torch
from mmdet.models.dense_heads import Mask2FormerHead
from mmengine.config import ConfigDict

from mmproscale.cost.model_cost import build_network, model_cost
from mmproscale.errors import InputError
from mmproscale.models.pixel_decoders import HybridPixelDecoder
from mmproscale.models.pixel_decoders.hybrid_pixel_decoder import CrossScaleFusion, RepVGGBlock
from mmproscale.utils.config import load_config

CHANNELS = (8, 16, 24, 32)
ENCODER = dict(
    num_layers=1,
    layer_cfg=dict(
        self_attn_cfg=dict(embed_dims=32, num_heads=4, num_levels=3, dropout=0, batch_first=True),
        ffn_cfg=dict(embed_dims=32, feedforward_channels=64, num_fcs=2, ffn_drop=0.0),
    ),
)
NORMS = (torch.nn.BatchNorm2d, torch.nn.GroupNorm, torch.nn.LayerNorm)


def make(**changes):
    arguments = dict(
        in_channels=CHANNELS,
        feat_channels=32,
        out_channels=32,
        norm_cfg=dict(type="GN", num_groups=8),
        positional_encoding=dict(num_feats=16, normalize=True),
        encoder=copy.deepcopy(ENCODER),
    )
    decoder = HybridPixelDecoder(**(arguments | changes))
    decoder.init_weights()
    return shake(decoder).eval()


def shake(module):
    """Norms as after some training, so that each of their numbers matters."""
    for norm in module.modules():
        if isinstance(norm, NORMS):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.normal_(norm.bias, std=0.3)
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_(std=0.3)
            norm.running_var.uniform_(0.5, 2.0)
    return module


def backbone_maps(size, batch=2):
    height, width = size
    return [
        torch.randn(batch, c, -(-height // s), -(-width // s))
        for c, s in zip(CHANNELS, (4, 8, 16, 32), strict=True)
    ]


@torch.no_grad()
def test_in_evaluation_two_branches_are_one_convolution():
    block = shake(RepVGGBlock(8, dict(type="BN"), dict(type="SiLU"))).eval()
    x = torch.randn(2, 8, 5, 7)
    apart = block.activate(block.wide(x) + block.point(x))
    torch.testing.assert_close(block(x), apart, rtol=0, atol=1e-5)
    assert not torch.allclose(block(x), block.activate(block.wide(x)), atol=0.1)


def test_training_uses_the_batch_and_reaches_every_parameter():
    decoder = make().train()
    before = decoder.fusion.top_down[0].blocks[0].wide.norm.running_mean.clone()
    mask_features, maps = decoder(backbone_maps((64, 96)))
    sum(m.square().sum() for m in (mask_features, *maps)).backward()
    missing = [n for n, p in decoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missing
    assert not torch.equal(before, decoder.fusion.top_down[0].blocks[0].wide.norm.running_mean)


@pytest.mark.parametrize("size", [(64, 96), (97, 131), (33, 250)])
@torch.no_grad()
def test_odd_maps_keep_their_sizes(size):
    feats = backbone_maps(size)
    mask_features, maps = make()(feats)
    assert mask_features.shape == (2, 32, *feats[0].shape[-2:])
    assert [m.shape[-2:] for m in maps] == [f.shape[-2:] for f in feats[:0:-1]]


@torch.no_grad()
def test_an_images_maps_do_not_depend_on_its_batch():
    decoder, feats = make(), backbone_maps((64, 96))
    together, single = decoder(feats), decoder([f[1:] for f in feats])
    for both, one in zip((together[0], *together[1]), (single[0], *single[1]), strict=True):
        torch.testing.assert_close(both[1:], one, rtol=0, atol=1e-4)


@torch.no_grad()
def test_every_scale_reaches_every_scale():
    decoder, feats = make(), backbone_maps((64, 96), batch=1)
    before = decoder(feats)
    for changed in (1, 2, 3):
        moved = [f + (index == changed) for index, f in enumerate(feats)]
        after = decoder(moved)
        for old, new in zip((before[0], *before[1]), (after[0], *after[1]), strict=True):
            assert not torch.allclose(old, new, atol=1e-4)


def test_the_fusion_costs_what_rt_detrs_costs(configs):
    network = build_network(load_config(configs / "rt_m2f_swin-t_coco.py"))
    cost = model_cost(network, (1024, 2048))
    assert cost.published_pixel_decoder / 1e9 == pytest.approx(134.0, abs=0.1)


@torch.no_grad()
def test_under_mmdets_own_mask2former_head(configs):
    config = load_config(configs / "rt_m2f_r18_shapes.py").model.panoptic_head
    del config.type
    head = Mask2FormerHead(**config, train_cfg=None, test_cfg=None).eval()
    feats = [
        torch.randn(1, c, 64 // s, 64 // s)
        for c, s in zip((64, 128, 256, 512), (4, 8, 16, 32), strict=True)
    ]
    classes, masks = head(feats, [type("Sample", (), dict(metainfo={}))()])
    assert classes[-1].shape == (1, 24, 9) and masks[-1].shape == (1, 24, 16, 16)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (dict(encoder=dict(num_layers=1)), "takes num_layers and layer_cfg"),
        (dict(encoder=ENCODER | dict(num_layers=0)), "num_layers=0"),
        (dict(encoder=ENCODER | dict(num_layers=None)), "takes num_layers"),
        (dict(encoder=ENCODER | dict(schedule=dict(type="m2f"))), "schedule=None"),
        (dict(encoder=ENCODER | dict(layers=2)), "takes num_layers"),
        (dict(strides=(8, 16), in_channels=(8, 16)), "num_levels=3.*2 to 2 levels"),
        (dict(fusion=dict(norm_cfg=dict(type="GN", num_groups=8))), "must be a batch norm"),
    ],
)
def test_what_cannot_be_built_is_refused(changes, fault):
    with pytest.raises(InputError, match=fault):
        make(**changes)


def test_there_is_one_exit():
    decoder = make()
    assert decoder.exits == (1,)
    with pytest.raises(InputError, match="has only exit 1"):
        next(decoder.encode(backbone_maps((64, 64)), exits=(2,)))


def test_levels_are_as_many_as_maps():
    fusion = CrossScaleFusion(8, num_levels=4).eval()
    maps = [torch.randn(1, 8, n, n) for n in (2, 4, 8, 16)]
    assert [m.shape for m in fusion(maps)] == [m.shape for m in maps]


def test_the_config_of_a_layer_is_left_as_it_was():
    encoder = ConfigDict(copy.deepcopy(ENCODER))
    make(encoder=encoder)
    assert encoder == ENCODER
