"""ResNet's inference on a CPU equals mmdet's ResNet, from the same weights."""

import pytest
import torch
from mmdet.models.backbones import ResNet, ResNetV1d, ResNeXt

from mmproscale.ops import resnet_inference

STOCK = ResNet.forward.__wrapped__


@pytest.fixture
def calls(monkeypatch) -> list:
    """Backbones that our function computed."""
    backbones, ours = [], resnet_inference.resnet

    def recorded(backbone, x):
        backbones.append(backbone)
        return ours(backbone, x)

    monkeypatch.setattr(resnet_inference, "resnet", recorded)
    return backbones


def built(kind: type = ResNet, depth: int = 18, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    model = kind(
        depth=depth,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(0, 1),
        base_channels=8,
        stem_channels=8,
        **options,
    )
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
    model.eval()
    return model


@torch.no_grad()
def assert_equals_stock(model: torch.nn.Module, images: torch.Tensor) -> None:
    ours = model(images)
    for one, other in zip(ours, STOCK(model, images), strict=True):
        assert one.stride() == other.stride()
        bound = 1e-5 * float(other.abs().max())
        torch.testing.assert_close(one, other, rtol=1e-5, atol=bound)


MODELS = {
    "basic blocks": dict(),
    "bottlenecks": dict(depth=50),
    "v1d": dict(kind=ResNetV1d, depth=50),
    "groups": dict(kind=ResNeXt, depth=50, groups=2, base_width=4),
    "group norms": dict(depth=50, norm_cfg=dict(type="GN", num_groups=4)),
    "plugins": dict(
        depth=50,
        plugins=[dict(cfg=dict(type="ContextBlock", ratio=0.25), position="after_conv3")],
    ),
}


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_equals_stock(calls, options):
    model = built(**options)
    assert_equals_stock(model, torch.randn(2, 3, 64, 52))
    assert calls == [model]


def test_without_onednn(monkeypatch):
    monkeypatch.setattr("mmproscale.ops.cpu_inference.HAS_ONEDNN", False)
    assert_equals_stock(built(), torch.randn(1, 3, 64, 52))


def test_follows_weights(calls):
    model, images = built(), torch.randn(1, 3, 64, 52)
    assert_equals_stock(model, images)
    with torch.no_grad():
        model.layer1[0].norm1.running_var.mul_(3)
        model.layer1[0].conv2.weight.mul_(-1)
    assert_equals_stock(model, images)


def test_training_and_gradients_are_stock(calls):
    model, images = built(), torch.randn(2, 3, 64, 52)
    model(images)[0].sum().backward()
    assert model.layer1[0].conv1.weight.grad is not None
    model.train()
    with torch.no_grad():
        model(images)
    assert calls == []
