"""Layers for inference on a CPU: the same results, and the cases that they leave to the module."""

import pytest
import torch
from mmcv.cnn.bricks.transformer import FFN
from torch import nn

from mmproscale.ops import cpu_inference
from mmproscale.ops.cpu_inference import (
    ROWS_OF_A_BAND,
    convolution_and_norm,
    feed_forward,
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
    torch.testing.assert_close(linear(layer, x[None], "relu"), layer(x)[None].relu())
    empty = linear(layer, torch.zeros(0, 6))
    assert empty.shape == (0, 4)


def test_linear_calls_what_is_not_a_plain_layer():
    layer, x, seen = nn.Linear(6, 4), torch.randn(5, 6, requires_grad=True), []
    linear(layer, x, "relu").sum().backward()
    assert x.grad is not None
    with torch.no_grad():
        handle = layer.register_forward_hook(lambda *_: seen.append(1))
        linear(layer, x)
        handle.remove()
        layer.forward = lambda x: x
        assert linear(layer, x) is x and seen == [1]


@torch.no_grad()
def test_linear_in_bf16(onednn):
    layer, x = nn.Linear(64, 32), torch.randn(5, 64)
    expected = nn.functional.gelu(layer(x))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(
            linear(layer, x, "gelu"), expected.bfloat16(), rtol=0.02, atol=0.02
        )
        layer.to(torch.bfloat16)
        torch.testing.assert_close(
            linear(layer, x, "gelu"), expected.bfloat16(), rtol=0.02, atol=0.02
        )


@pytest.mark.parametrize("act", [nn.ReLU(inplace=True), nn.GELU(), nn.GELU("tanh"), nn.SiLU()])
@torch.no_grad()
def test_feed_forward_is_the_module(onednn, act):
    ffn = FFN(embed_dims=6, feedforward_channels=8).eval()
    ffn.layers[0][1] = act
    x, identity = torch.randn(2, 5, 6), torch.randn(2, 5, 6)
    torch.testing.assert_close(feed_forward(ffn, x, identity), ffn(x, identity))


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
