"""Every family in mixed precision: losses, gradients, and the same results by every backend."""

import copy

import pytest
import torch
from helpers.families import BUILDERS, inputs_of, losses_by_name

from mmproscale.models.pixel_decoders import DeformableConvolution
from mmproscale.ops import BACKENDS, attention_backend
from mmproscale.ops.deformable_convolution import CONVOLUTION_BACKENDS

pytestmark = pytest.mark.slow
QUERIES = {"DINO": dict(num_queries=200), "DDQ": dict(num_queries=100)}  # of 226 tokens
HALF = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)


def build(family):
    """Build a model whose queries hardly depend on rounding."""
    torch.manual_seed(0)
    model = BUILDERS[family](**QUERIES.get(family, {})).train()
    for name, parameter in model.named_parameters():
        if "bbox_head.cls_branches" in name and parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.1)  # scores that differ
        if name == "query_embedding.weight":
            parameter.data[:] = parameter.data[:1]  # the same for each rank
    return model


def losses(model, dtype):
    """Losses of a batch; the model's running means stay as they are."""
    images, samples = inputs_of(model)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        return losses_by_name(copy.deepcopy(model), images, samples)


def check_equal(losses_by_backend):
    """Compare sums: a single loss may change with a query whose choice is a matter of rounding."""
    expected, *others = (sum(by_name.values()) for by_name in losses_by_backend.values())
    for other in others:
        torch.testing.assert_close(other, expected, rtol=3e-3, atol=0)


@HALF
@pytest.mark.parametrize("family", BUILDERS)
def test_losses_and_gradients_are_close_to_fp32(family, dtype):
    model = build(family)
    images, samples = inputs_of(model)
    exact = sum(losses(model, torch.float32).values())
    with torch.autocast("cpu", dtype):
        by_name = losses_by_name(model, images, samples)
    assert {loss.dtype for loss in by_name.values()} == {torch.float32}
    total = sum(by_name.values())
    torch.testing.assert_close(total, exact, rtol=0.01, atol=0)
    total.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.isfinite().all(), name


@HALF
@pytest.mark.parametrize("family", ["M2F", "PRO-SCALE", "Lite", "DINO"])
def test_losses_do_not_depend_on_the_attention_backend(compiled_mmcv, family, dtype):
    model, by_backend = build(family), {}
    for backend in set(BACKENDS) - {"deformops"}:  # it has no kernel for a CPU
        with attention_backend(backend):
            by_backend[backend] = losses(model, dtype)
    check_equal(by_backend)


@HALF
def test_losses_do_not_depend_on_the_convolution_backend(
    compiled_mmcv, compiled_torchvision, dtype
):
    model, by_backend = build("PEM"), {}
    convolutions = [m for m in model.modules() if isinstance(m, DeformableConvolution)]
    assert len(convolutions) == 3
    for convolution in convolutions:
        torch.nn.init.normal_(convolution.conv_offset.weight, std=0.05)
    for backend in CONVOLUTION_BACKENDS:
        for convolution in convolutions:
            convolution.backend = backend
        by_backend[backend] = losses(model, dtype)
    check_equal(by_backend)
