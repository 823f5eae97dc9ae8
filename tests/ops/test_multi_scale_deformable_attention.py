"""The sampling op against mmcv's PyTorch form, values and gradients."""

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

from mmproscale.ops import multi_scale_deformable_attention


def inputs(shapes, queries=11, heads=3, head_dim=4, points=2, dtype=torch.float64):
    tokens = sum(h * w for h, w in shapes)
    value = torch.randn(2, tokens, heads, head_dim, dtype=dtype, requires_grad=True)
    # Some points fall outside 0..1 and must read zeros.
    locations = torch.rand(2, queries, heads, len(shapes), points, 2, dtype=dtype) * 1.4 - 0.2
    weights = torch.rand(2, queries, heads, len(shapes), points, dtype=dtype)
    return value, locations.requires_grad_(), weights.requires_grad_()


@pytest.mark.parametrize("shapes", [[(5, 7)], [(3, 2), (6, 5), (1, 1)], [(2, 3)] * 5])
def test_equals_mmcv(shapes):
    value, locations, weights = inputs(shapes)
    ours = multi_scale_deformable_attention(value, shapes, locations, weights)
    theirs = multi_scale_deformable_attn_pytorch(value, torch.tensor(shapes), locations, weights)
    torch.testing.assert_close(ours, theirs)
    probe = torch.randn_like(ours)
    gradients = [
        torch.autograd.grad(output, (value, locations, weights), probe) for output in (ours, theirs)
    ]
    for mine, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, expected)


def test_shapes_may_come_as_a_tensor():
    shapes = [(3, 2), (6, 5)]
    args = inputs(shapes)
    assert torch.equal(
        multi_scale_deformable_attention(args[0], shapes, *args[1:]),
        multi_scale_deformable_attention(args[0], torch.tensor(shapes), *args[1:]),
    )
