"""PEM's cost: the paper's figures (Tables 1 to 4) as they come of its own form, and its depth."""

import pytest
import torch

from mmproscale.cost.model_cost import build_network, model_cost
from mmproscale.utils.config import load_config

CITYSCAPES, ADE20K, ADE20K_CROP = (1024, 2048), (640, 640), (512, 512)


def cost_of(configs, name, size, **options):
    changes = {f"model.{key}": value for key, value in options.items()}
    return model_cost(build_network(load_config(configs / f"pem_m2f_{name}.py", changes)), size)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "giga", "millions"),
    [
        ("r50_cityscapes", 237.3, 35.6),
        ("stdc1_cityscapes", 92.1, 17.0),
        ("stdc1_cityscapes-semantic", 92.1, 17.0),
        ("stdc2_cityscapes", 118.5, 21.0),
    ],
)
def test_cityscapes(configs, name, giga, millions):
    cost = cost_of(configs, name, CITYSCAPES)
    assert cost.published_total / 1e9 == pytest.approx(giga, rel=0.001)
    assert cost.params / 1e6 == pytest.approx(millions, rel=0.005)
    assert cost.total < cost.published_total


# The paper's STDC figures on ADE20K fit no single size; these are what its form gives.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "giga"),
    [
        ("r50_ade20k", ADE20K, 47.2),
        ("r50_ade20k-semantic", ADE20K_CROP, 30.6),
        ("stdc1_ade20k-semantic", ADE20K_CROP, 12.5),
        ("stdc2_ade20k-semantic", ADE20K_CROP, 15.8),
        ("stdc2_ade20k", ADE20K, 24.0),
    ],
)
def test_ade20k(configs, name, size, giga):
    assert cost_of(configs, name, size).published_total / 1e9 == pytest.approx(giga, rel=0.005)


def test_parts_are_those_that_were_counted(configs):
    cost = cost_of(configs, "r50_cityscapes", CITYSCAPES)
    parts = {part.name: part.macs / 1e9 for part in cost.parts}
    assert list(parts) == [
        "backbone",
        "input projections",
        "context modulation",
        "feature aggregation",
        "mask projection",
        "query decoder",
        "mask prediction",
    ]
    assert parts["backbone"] == pytest.approx(171.8, abs=0.1)
    assert cost.published_pixel_decoder / 1e9 == pytest.approx(31.5, abs=0.05)
    rest = cost.published_total / 1e9 - parts["backbone"] - cost.published_pixel_decoder / 1e9
    assert rest == pytest.approx(34.1, abs=0.05)
    assert cost.params == sum(part.params for part in cost.parts)


@pytest.mark.parametrize("conv_cfg", [None, dict(type="mmproscale.DeformableConvolution")], ids=str)
def test_a_deformable_convolution_is_its_plain_one_and_that_of_its_offsets(configs, conv_cfg):
    size = (64, 96)
    pixels = sum(size[0] * size[1] // stride**2 for stride in (8, 16, 32))
    decoder = {"panoptic_head.pixel_decoder.conv_cfg": conv_cfg}
    cost = cost_of(configs, "r18_shapes", size, **decoder)
    part = next(part for part in cost.parts if part.name == "feature aggregation")
    taps, channels = 9, 32
    norm = 2 * channels * (pixels + 4 * pixels)  # of maps, and of what is enlarged
    enlarged = 16 * channels**2 * pixels
    offsets = 3 * taps * taps * channels * pixels if conv_cfg else 0
    assert part.macs == taps * channels**2 * pixels + offsets + enlarged + norm


@pytest.mark.slow
def test_depth_is_a_value_from_none_on(configs):
    costs = [
        cost_of(
            configs,
            "r18_shapes",
            (64, 64),
            **{"panoptic_head.transformer_decoder.num_layers": layers},
        )
        for layers in (0, 1, 3, 6)
    ]
    totals = [cost.published_total for cost in costs]
    assert totals == sorted(set(totals))


@pytest.mark.slow
def test_no_masks_are_counted_that_no_layer_reads(configs):
    option = "panoptic_head.transformer_decoder.layer_cfg.cross_attn_cfg.prototypes"
    masked, unmasked, summed = (
        cost_of(configs, "r18_shapes", CITYSCAPES, **{option: choice}).published_total
        for choice in ("masked", "any", "sum")
    )
    assert masked - unmasked == pytest.approx(3 * 24 * 64 * 256 * 512, rel=0.1)
    assert summed < unmasked


@torch.no_grad()
@pytest.mark.parametrize("layers", [0, 1, 2, 6])
def test_a_model_of_any_depth_predicts(configs, layers):
    changes = {"model.panoptic_head.transformer_decoder.num_layers": layers}
    network = build_network(load_config(configs / "pem_m2f_r18_shapes.py", changes))
    classes, masks = network(torch.randn(1, 3, 64, 64))
    assert classes.shape == (1, 24, 9) and masks.shape == (1, 24, 16, 16)
