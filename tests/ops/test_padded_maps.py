"""The table of padded maps: where cells lie in it, and what a point's corners are."""

import pytest
import torch
from helpers.stock_attention import attention_inputs

from mmproscale.ops import multi_scale_deformable_attention
from mmproscale.ops.padded_maps import BORDER, PaddedMaps, padded_maps, write_corner_weights

SHAPES = ((2, 3), (0, 2), (4, 1))
HEADS, POINTS = 2, 1


@pytest.fixture
def maps() -> PaddedMaps:
    return padded_maps(SHAPES, HEADS, POINTS, torch.float64, torch.device("cpu"))


def test_each_token_has_one_row_and_the_border_is_zero(maps):
    tokens = sum(h * w for h, w in SHAPES)
    value = torch.arange(1.0, 2 * tokens * HEADS * 3 + 1).view(2, tokens, HEADS, 3)
    table = maps.fill(value)
    assert table.shape == (2, HEADS * maps.cells, 3)
    assert maps.cells == sum((h + 2 * BORDER) * (w + 2 * BORDER) for h, w in SHAPES)
    start = 0
    for level, (h, w) in enumerate(SHAPES):
        for head in range(HEADS):
            for y in range(h):
                row = maps.origin[head, level, 0] + y * int(maps.stride[head, level, 0])
                tokens_of_row = slice(start + y * w, start + (y + 1) * w)
                assert torch.equal(table[:, row : row + w], value[:, tokens_of_row, head])
        start += h * w
    assert table.count_nonzero() == value.numel()  # nothing else


def test_corners_of_a_point_between_four_cells(maps):
    locations = torch.full((1, 1, HEADS, 3, POINTS, 2), 0.5, dtype=torch.float64)
    # 0.6 of 3 cells is 1.3 cell centres to the right, 0.55 of 2 is 0.6 down.
    locations[0, 0, :, 0, 0] = torch.tensor([0.6, 0.55], dtype=torch.float64)
    corners = maps.corners(locations)
    torch.testing.assert_close(corners.right[0, 0, :, 0, 0], torch.full((2,), 0.3).double())
    torch.testing.assert_close(corners.down[0, 0, :, 0, 0], torch.full((2,), 0.6).double())
    rows = maps.rows(corners)[0, 0, :, :, 0, 0]
    origin, below = maps.origin[:, 0, 0], 3 + 2 * BORDER
    assert torch.equal(rows - origin[:, None], torch.tensor([[1, 2, 1 + below, 2 + below]] * 2))


def test_rows_of_the_second_image_follow_those_of_the_first(maps):
    rows = maps.rows(
        maps.corners(torch.rand(1, 4, HEADS, 3, POINTS, 2).double().repeat(2, 1, 1, 1, 1, 1))
    )
    assert torch.equal(rows[1] - rows[0], torch.full_like(rows[0], HEADS * maps.cells))


@pytest.mark.parametrize("x", [-1e9, -0.7, -0.51, 1.51, 7.0, 1e30, float("nan"), -float("inf")])
def test_all_corners_of_a_point_outside_are_zeros_of_its_own_level(maps, x):
    tokens = sum(h * w for h, w in SHAPES)
    table = maps.fill(torch.ones(1, tokens, HEADS, 1, dtype=torch.float64))
    for axis in (0, 1):
        locations = torch.full((1, 1, HEADS, 3, POINTS, 2), 0.5, dtype=torch.float64)
        locations[..., axis] = x
        rows = maps.rows(maps.corners(locations))
        assert not table[0, rows.flatten()].any()
        first = maps.origin - BORDER * (maps.below + 1)
        cells = torch.tensor([(h + 2 * BORDER) * (w + 2 * BORDER) for h, w in SHAPES])[:, None]
        assert ((rows >= first[:, None]) & (rows < (first + cells)[:, None])).all()


def test_corner_weights_are_bilinear_and_add_up_to_the_weights(maps):
    weights = torch.rand(2, 5, HEADS, 3, POINTS, dtype=torch.float64)
    corners = maps.corners(torch.rand(*weights.shape, 2, dtype=torch.float64))
    corner_weights = weights.new_empty(4, *weights.shape)
    write_corner_weights(corners, weights, corner_weights)
    torch.testing.assert_close(corner_weights.sum(0), weights)
    torch.testing.assert_close(corner_weights[3], weights * corners.right * corners.down)
    torch.testing.assert_close(corner_weights[1], weights * corners.right * (1 - corners.down))


def test_a_layout_is_made_once():
    arguments = (SHAPES, HEADS, POINTS, torch.float32, torch.device("cpu"))
    assert padded_maps(*arguments) is padded_maps(*arguments)


def test_a_layout_first_made_for_inference_serves_training():
    """Layouts are kept, and tensors made under inference_mode may not be saved for a backward."""
    padded_maps.cache_clear()
    value, locations, weights = (t.float().detach() for t in attention_inputs([(5, 7), (3, 2)]))
    shapes = [(5, 7), (3, 2)]
    with torch.inference_mode():
        multi_scale_deformable_attention(value, shapes, locations, weights, "torch")
    value.requires_grad_()
    multi_scale_deformable_attention(value, shapes, locations, weights, "torch").sum().backward()
    assert value.grad.isfinite().all()
