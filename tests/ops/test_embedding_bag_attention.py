"""The EmbeddingBag backend: in steps, in double precision, and quietly."""

import subprocess
import sys

import pytest
import torch
from helpers.stock_attention import attention_inputs, mmcv_fallback, output_and_gradients

from mmproscale.ops import embedding_bag_attention, multi_scale_deformable_attention

SHAPES = [(5, 7), (3, 2)]


def attend(value, locations, weights):
    return multi_scale_deformable_attention(value, SHAPES, locations, weights, "torch")


def mmcv_attend(value, locations, weights):
    return mmcv_fallback()(value, torch.tensor(SHAPES), locations, weights)


@pytest.fixture
def steps(monkeypatch):
    """Sizes of the steps of a forward pass: (images, queries) of each."""
    sums, seen = embedding_bag_attention._sum_weighted_rows, []

    def noting(table, rows, shares):
        seen.append(tuple(rows.shape[:2]))
        return sums(table, rows, shares)

    monkeypatch.setattr(embedding_bag_attention, "_sum_weighted_rows", noting)
    return seen


# A query has 3 heads * 2 levels * 2 points = 12 points, an image of 11 queries 132.
@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (10**6, [(5, 11)]),
        (300, [(2, 11), (2, 11), (1, 11)]),
        (132, [(1, 11)] * 5),
        (131, [(1, 10), (1, 1)] * 5),
        (50, [(1, 4), (1, 4), (1, 3)] * 5),
        (1, [(1, 1)] * 55),
    ],
)
def test_any_number_of_steps_gives_the_same(monkeypatch, steps, points, expected):
    monkeypatch.setattr(embedding_bag_attention, "POINTS_PER_STEP", points)
    inputs = attention_inputs(SHAPES, images=5)
    ours = output_and_gradients(attend, inputs)
    assert steps == expected
    for mine, theirs in zip(ours, output_and_gradients(mmcv_attend, inputs), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shapes", [[(3, 4)], [(1, 1), (2, 2)], [(1, 5), (0, 2), (4, 1)], [(2, 3)] * 5], ids=str
)
@pytest.mark.parametrize("points", [10**6, 20])
def test_gradients_are_those_of_differences(monkeypatch, shapes, points):
    monkeypatch.setattr(embedding_bag_attention, "POINTS_PER_STEP", points)
    inputs = attention_inputs(shapes, queries=2, heads=2, head_dim=3)
    assert torch.autograd.gradcheck(
        lambda value, *rest: multi_scale_deformable_attention(value, shapes, *rest, "torch"), inputs
    )


def test_many_points_on_one_cell_add_up():
    value, locations, weights = attention_inputs(SHAPES, queries=300)
    locations = torch.full_like(locations, 0.43).requires_grad_()
    ours = output_and_gradients(attend, (value, locations, weights))
    theirs = output_and_gradients(mmcv_attend, (value, locations, weights))
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected)


def test_the_same_input_gives_the_same_bits():
    inputs = attention_inputs(SHAPES, queries=200, dtype=torch.float32)
    first, second = (output_and_gradients(attend, inputs) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_inputs_are_left_as_they_are():
    inputs = attention_inputs(SHAPES)
    before = [tensor.detach().clone() for tensor in inputs]
    output_and_gradients(attend, inputs)
    assert all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True))


@pytest.mark.slow
def test_warns_of_nothing():
    # torch warns of sparse tensors once in a process: so this needs one of its own.
    code = (
        "import torch, mmproscale\n"
        "from mmproscale.ops import multi_scale_deformable_attention as attend\n"
        "value = torch.rand(1, 4, 1, 2, requires_grad=True)\n"
        "locations = torch.rand(1, 3, 1, 1, 1, 2)\n"
        "attend(value, [(2, 2)], locations, locations[..., 0], 'torch').sum().backward()\n"
        "assert value.grad.any()\n"
    )
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], check=True, timeout=60)
