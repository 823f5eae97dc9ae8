"""STDC: mmseg's maps and weights, and the map at stride 4 before them."""

import pytest
import torch
from mmseg.models.backbones import STDCNet as MMSegSTDCNet

from mmproscale.registry import MODELS
from mmproscale.utils.config import load_config


@pytest.mark.parametrize("number", [1, 2])
@torch.no_grad()
def test_is_mmsegs_with_the_map_at_stride_4(configs, number):
    config = load_config(configs / f"pem_m2f_stdc{number}_cityscapes.py").model
    backbone = config.backbone | dict(init_cfg=None)
    ours = MODELS.build(dict(backbone)).eval()
    del backbone["type"]
    stock = MMSegSTDCNet(**backbone).eval()
    stock.load_state_dict(ours.state_dict(), strict=True)
    image = torch.randn(1, 3, 64, 96)
    maps = ours(image)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (channels, 64 // stride, 96 // stride)
        for channels, stride in zip(config.panoptic_head.in_channels, (4, 8, 16, 32), strict=True)
    ]
    for mine, theirs in zip(maps[1:], stock(image), strict=True):
        assert torch.equal(mine, theirs)
    again = stock.stages[1](stock.stages[0](image))
    assert torch.equal(maps[0], again)
