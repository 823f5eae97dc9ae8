"""LPE and the 3x3 convolution that it replaces."""

import pytest
import torch
import torch.nn.functional as F

from mmproscale.errors import InputError
from mmproscale.models.pixel_decoders.pixel_embedding import ConvPixelEmbedding, LightPixelEmbedding


def test_lpe_is_pooling_norm_and_relu():
    x = torch.randn(2, 64, 7, 9)
    lpe = LightPixelEmbedding(64)
    expected = F.relu(F.group_norm(F.max_pool2d(x, 3, 1, 1), 32))
    torch.testing.assert_close(lpe(x), expected)
    average = LightPixelEmbedding(64, pooling="average")
    expected = F.relu(F.group_norm(F.avg_pool2d(x, 3, 1, 1), 32))
    torch.testing.assert_close(average(x), expected)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_lpe_is_the_same_without_gradients(pooling):
    x = torch.randn(2, 64, 20, 9).to(memory_format=torch.channels_last)
    lpe = LightPixelEmbedding(64, pooling=pooling).eval()
    expected = lpe(x.clone().requires_grad_())
    with torch.no_grad():
        assert torch.equal(lpe(x), expected)
    assert lpe.activate.inplace


def test_only_the_convolution_has_a_kernel():
    gn = dict(type="GN", num_groups=32)
    assert sum(p.numel() for p in LightPixelEmbedding(64).parameters()) == 2 * 64
    conv = ConvPixelEmbedding(64, norm_cfg=gn, act_cfg=dict(type="ReLU"))
    assert sum(p.numel() for p in conv.parameters()) == 64 * 64 * 9 + 2 * 64


def test_unknown_pooling_is_refused():
    with pytest.raises(InputError, match="pooling='min'"):
        LightPixelEmbedding(64, pooling="min")
