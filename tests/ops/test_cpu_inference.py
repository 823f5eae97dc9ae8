"""Layers for inference on a CPU: the same results, and the cases that they leave to the module."""

import pytest
import torch
from torch import nn

from mmproscale.ops import cpu_inference
from mmproscale.ops.cpu_inference import (
    ROWS_OF_A_BAND,
    convolution_and_norm,
    linear,
    max_pool_3x3,
    serves,
)


@pytest.fixture(params=[True, False], ids=["oneDNN", "without oneDNN"])
def onednn(request, monkeypatch):
    if request.param and not cpu_inference.HAS_ONEDNN:
        pytest.skip("PyTorch has no oneDNN here")
    monkeypatch.setattr(cpu_inference, "HAS_ONEDNN", request.param)


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_linear_is_the_layer(onednn, bias):
    layer, x = nn.Linear(6, 4, bias=bias), torch.randn(5, 6)
    torch.testing.assert_close(linear(layer, x), layer(x))
    torch.testing.assert_close(linear(layer, x, "gelu"), nn.functional.gelu(layer(x)))
    empty = linear(layer, torch.zeros(0, 6))
    assert empty.shape == (0, 4)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_convolution_has_the_norm_in_it(onednn, bias, relu):
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=bias)
    norm = nn.BatchNorm2d(6).eval()
    for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        values.uniform_(0.5, 2)
    x = torch.randn(2, 4, 9, 8)
    expected = norm(conv(x)).relu() if relu else norm(conv(x))
    torch.testing.assert_close(convolution_and_norm(conv, norm, x, relu), expected)
    norm.running_mean += 1  # as when other weights are loaded
    assert not torch.allclose(convolution_and_norm(conv, norm, x, relu), expected)


@torch.no_grad()
def test_norms_that_are_no_scale_are_applied():
    conv, norm, x = nn.Conv2d(4, 6, 3), nn.GroupNorm(2, 6), torch.randn(1, 4, 8, 8)
    torch.testing.assert_close(convolution_and_norm(conv, norm, x, False), norm(conv(x)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize(
    "height", [1, 2, 3, ROWS_OF_A_BAND, ROWS_OF_A_BAND + 1, 2 * ROWS_OF_A_BAND + 2]
)
def test_pooling_in_bands_is_that_of_the_whole_map(height, width, dtype):
    x = torch.randn(2, 4, height, width).to(dtype).to(memory_format=torch.channels_last)
    x[0, 0, -1, 0] = float("nan")
    expected = nn.functional.max_pool2d(x, 3, 1, 1)
    found = max_pool_3x3(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    assert found.stride() == x.stride()


def test_gradients_training_and_hooks_need_the_module():
    module, x = nn.Sequential(nn.Linear(2, 2)).eval(), torch.zeros(1, 2)
    assert not serves(module, x)  # gradients
    with torch.no_grad():
        assert serves(module, x)
        module[0].train()
        assert not serves(module, x)
        module.eval()
        handle = module[0].register_forward_hook(lambda *_: None)
        assert not serves(module, x)
        handle.remove()
        assert serves(module, x)
