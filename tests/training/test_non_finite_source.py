"""The first module with a weight or an output that is not finite is named."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper

from mmproscale.training.non_finite_source import non_finite_source

NAN = float("nan")
BATCH = dict(inputs=torch.ones(2, 3))


class Net(BaseModel):
    """Two layers; ``wrong`` makes the first one's output NaN."""

    def __init__(self, wrong: bool = False) -> None:
        super().__init__()
        self.wrong = wrong
        self.first = torch.nn.Sequential(torch.nn.Linear(3, 3), Scale(NAN if wrong else 1.0))
        self.second = torch.nn.Linear(3, 1)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        return {"loss": self.second(self.first(inputs)).mean()}


class Scale(torch.nn.Module):
    """A factor, without weights; returns parts as models do."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def source(model, batch=BATCH):
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    return non_finite_source(model, wrapper, batch)


def test_the_first_output_is_named():
    assert source(Net(wrong=True)) == "the output of first.1"


def test_a_weight_is_named():
    model = Net()
    model.second.bias.data[0] = NAN
    assert source(model) == "the weight second.bias"


@pytest.mark.parametrize("batch", [BATCH, None, dict(inputs="text")])
def test_without_a_source_nothing_is_named_and_no_hook_stays(batch):
    model = Net()
    assert source(model, batch) == ""
    assert not any(module._forward_hooks for module in model.modules())
