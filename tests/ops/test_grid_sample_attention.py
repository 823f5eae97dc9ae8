"""The plain PyTorch backend: what it is made of, for those that know no operators of ours."""

import torch
import torch.nn.functional as F
from helpers.stock_attention import attention_inputs

from mmproscale.ops.grid_sample_attention import grid_sample_attention

SHAPES = [(5, 7), (0, 2), (3, 2)]


def test_is_one_grid_sample_for_each_level_that_has_a_map():
    inputs = tuple(tensor.detach() for tensor in attention_inputs(SHAPES))
    traced = torch.jit.trace(
        lambda value, *rest: grid_sample_attention(value, SHAPES, *rest), inputs, check_trace=False
    )
    kinds = [node.kind() for node in traced.inlined_graph.nodes()]
    assert kinds.count("aten::grid_sampler") == 2
    assert {kind.partition("::")[0] for kind in kinds} <= {"aten", "prim"}


def test_each_levels_grid_is_in_one_piece(monkeypatch):
    # grid_sample takes nearly twice the time over one that is in strips.
    grids, sample = [], F.grid_sample
    monkeypatch.setattr(
        F,
        "grid_sample",
        lambda maps, grid, **more: grids.append(grid) or sample(maps, grid, **more),
    )
    value, locations, weights = attention_inputs(SHAPES)
    grid_sample_attention(value, SHAPES, locations, weights)
    assert len(grids) == 2 and all(grid.is_contiguous() for grid in grids)


def test_locations_are_left_as_they_are():
    # One image and one head: nothing needs to be copied on the way.
    value, locations, weights = attention_inputs(SHAPES[:1], images=1, heads=1)
    with torch.no_grad():
        locations[0, 0] = float("nan")
    before = locations.detach().clone()
    grid_sample_attention(value, SHAPES[:1], locations, weights)
    torch.testing.assert_close(locations.detach(), before, rtol=0, atol=0, equal_nan=True)


def test_gradients_are_those_of_differences():
    inputs = attention_inputs(SHAPES, queries=2, heads=2, head_dim=3)
    assert torch.autograd.gradcheck(
        lambda value, *rest: grid_sample_attention(value, SHAPES, *rest), inputs
    )
