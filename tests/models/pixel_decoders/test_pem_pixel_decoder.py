"""PEM's pixel decoder: its equations, sizes, ablations, what it refuses. Goldens: tests/heads."""

import re

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import Mask2FormerHead

from mmproscale.errors import InputError
from mmproscale.models.pixel_decoders import (
    ContextModulation,
    DeformableConvolution,
    PEMPixelDecoder,
)
from mmproscale.utils.config import load_config

CHANNELS = (8, 16, 24, 32)


def make(**changes):
    arguments = dict(in_channels=CHANNELS, feat_channels=16, out_channels=12)
    decoder = PEMPixelDecoder(**(arguments | changes))
    decoder.init_weights()
    for module in decoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as after some training
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2.0)
        if isinstance(module, DeformableConvolution):
            torch.nn.init.normal_(module.conv_offset.weight, std=0.05)
    return decoder.eval()


def backbone_maps(size, batch=2):
    height, width = size
    return [
        torch.randn(batch, c, -(-height // s), -(-width // s))
        for c, s in zip(CHANNELS, (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize("size", [(64, 96), (97, 131), (33, 250)])
@torch.no_grad()
def test_odd_maps_keep_their_sizes(size):
    feats = backbone_maps(size)
    mask_features, maps = make()(feats)
    assert mask_features.shape == (2, 12, *feats[0].shape[-2:])
    assert [m.shape for m in maps] == [(2, 16, *f.shape[-2:]) for f in feats[:0:-1]]
    assert mask_features.min() == 0  # it ends in a ReLU


def test_training_reaches_every_parameter():
    decoder = make().train()
    mask_features, maps = decoder(backbone_maps((64, 96)))
    sum(m.square().sum() for m in (mask_features, *maps)).backward()
    missing = [n for n, p in decoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missing


@torch.no_grad()
def test_an_images_maps_do_not_depend_on_its_batch():
    decoder, feats = make(), backbone_maps((64, 96))
    together, single = decoder(feats), decoder([f[1:] for f in feats])
    for both, one in zip((together[0], *together[1]), (single[0], *single[1]), strict=True):
        torch.testing.assert_close(both[1:], one, rtol=0, atol=1e-4)


@torch.no_grad()
def test_coarse_maps_reach_finer_ones_and_not_the_other_way():
    decoder, feats = make(), backbone_maps((64, 96), batch=1)
    _, before = decoder(feats)
    moved = list(feats)
    moved[1] = moved[1] + 1  # stride 8
    _, after = decoder(moved)
    assert torch.equal(before[0], after[0]) and torch.equal(before[1], after[1])
    assert not torch.allclose(before[2], after[2], atol=1e-3)
    moved[3] = moved[3] + 1  # stride 32
    _, after = decoder(moved)
    assert not any(
        torch.allclose(old, new, atol=1e-3) for old, new in zip(before, after, strict=True)
    )


@torch.no_grad()
def test_modulation_is_equation_9_and_the_release_squashes_twice():
    x = torch.randn(2, 8, 5, 7)
    for gate, squash in [("sigmoid", 1), ("double_sigmoid", 2)]:
        csm = ContextModulation(8, gate=gate).eval()
        hidden = F.conv2d(x.mean((2, 3), keepdim=True), csm.squeeze.conv.weight)
        context = F.conv2d(csm.squeeze.bn(hidden).relu(), csm.expand.weight)
        for _ in range(squash):
            context = context.sigmoid()
        torch.testing.assert_close(csm(x), x * context + x)


@torch.no_grad()
def test_a_new_deformable_convolution_has_no_offsets_and_half_its_weight():
    conv = DeformableConvolution(6, 4, 3, padding=1, bias=True)
    x = torch.randn(1, 6, 8, 9)
    torch.nn.init.normal_(conv.bias)
    plain = F.conv2d(x, conv.weight / 2, conv.bias, padding=1)
    torch.testing.assert_close(conv(x), plain, rtol=0, atol=1e-5)


def test_ablations_are_values():
    plain = make(conv_cfg=None, modulation=None)
    assert not any(
        isinstance(m, (DeformableConvolution, ContextModulation)) for m in plain.modules()
    )
    assert {type(a.conv) for a in plain.aggregations} == {torch.nn.Conv2d}
    assert {type(a.conv) for a in make().aggregations} == {DeformableConvolution}


def test_a_single_image_cannot_be_normalised_over_the_batch():
    decoder = make().train()
    with pytest.raises(InputError, match="the batch has one image"):
        decoder(backbone_maps((64, 96), batch=1))
    norm = dict(norm_cfg=dict(type="GN", num_groups=4))
    make(**norm).train()(backbone_maps((64, 96), batch=1))


@torch.no_grad()
def test_under_mmdets_own_mask2former_head(configs):
    config = load_config(configs / "pem_m2f_r18_shapes.py").model.panoptic_head
    del config.type, config.transformer_decoder.layer_cfg.type
    config.pixel_decoder.channels = None  # mmdet's knows one width
    levels = dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=3)))
    config.pixel_decoder.encoder = levels
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
        (dict(strides=(4, 8, 16)), "one stride for each map"),
        (dict(num_outs=2), "num_outs one less"),
        (dict(modulation=dict(type="CSM", gate="tanh")), "gate='tanh' must be one of"),
        (dict(conv_cfg=dict(type="mmproscale.DeformableConvolution", backend="cudnn")), None),
    ],
)
def test_what_cannot_be_built_is_refused(changes, fault):
    with pytest.raises(InputError, match=fault or "backend='cudnn'"):
        make(**changes)(backbone_maps((32, 32)))


@pytest.mark.parametrize("changes", [dict(stride=2), dict(padding=0), dict(groups=2)], ids=str)
def test_a_deformable_convolution_keeps_the_size(changes):
    with pytest.raises(InputError, match="keep the map's"):
        DeformableConvolution(4, 4, **(dict(kernel_size=3, padding=1) | changes))


@torch.no_grad()
def test_a_trace_is_the_decoder():
    decoder, feats = make(), backbone_maps((64, 96))
    traced = torch.jit.trace(decoder, (feats,), check_trace=False, strict=False)
    torch.testing.assert_close(traced(feats)[0], decoder(feats)[0])


@pytest.mark.parametrize("channels", [32, 64, 128])
def test_the_norm_that_is_advised_for_one_image_fits_our_configs(channels):
    with pytest.raises(InputError) as refused:
        make().train()(backbone_maps((64, 96), batch=1))
    norm = dict(re.findall(r"norm_cfg\.(\w+)=(\w+)", str(refused.value)))
    norm["num_groups"] = int(norm["num_groups"])
    make(channels=channels, out_channels=64, norm_cfg=norm).train()(backbone_maps((64, 96), 1))
