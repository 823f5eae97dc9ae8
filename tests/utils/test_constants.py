"""Constant tensors: made once, and never in a graph, a fake tensor's mode or inference mode."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mmproscale.utils.constants import constant

ROWS = ((0.5, 0.25), (2.0, 4.0))


def scale(x):
    return x * constant(ROWS, x.dtype, x)


def test_is_made_once_for_each_dtype_and_device():
    x = torch.ones(2, 2)
    first = constant(ROWS, torch.float32, x)
    assert first.tolist() == [list(row) for row in ROWS]
    assert constant(ROWS, torch.float32, torch.zeros(7, dtype=torch.long)) is first
    assert constant(ROWS, torch.float64, x).dtype == torch.float64
    assert constant(ROWS, torch.float32, x.to("meta")).is_meta
    assert constant((1, 2), torch.long, x).tolist() == [1, 2]


def test_is_usable_in_training_after_inference():
    with torch.inference_mode():
        numbers = constant(((7.0, 8.0),), torch.float32, torch.ones(1))
    x = torch.ones(1, 2, requires_grad=True)
    (x * numbers).sum().backward()
    assert x.grad.tolist() == [[7.0, 8.0]]


@pytest.mark.parametrize("first", [False, True], ids=["", "first"])
def test_graphs_and_fake_tensors_do_not_share_it(first):
    rows = ((3.0, float(first)),)  # in one of two tests nothing has made it before
    if first:
        constant(rows, torch.float32, torch.ones(1))

    class Scale(torch.nn.Module):
        def forward(self, x):
            return x * constant(rows, x.dtype, x)

    x, expected = torch.ones(4, 2), torch.tensor(rows).expand(4, 2)
    with FakeTensorMode() as mode:
        assert Scale()(mode.from_tensor(x)).shape == (4, 2)
    torch.compiler.reset()
    for module in (
        torch.compile(Scale(), fullgraph=True, backend="aot_eager"),
        torch.export.export(Scale(), (x,)).module(),
        torch.jit.trace(Scale(), (x,)),
        Scale(),
    ):
        assert torch.equal(module(x), expected)
    assert type(constant(rows, torch.float32, x)) is torch.Tensor
