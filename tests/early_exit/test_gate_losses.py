"""Each loss of Table T2 against its formula, and the choice that minimises it."""

import itertools

import pytest
import torch

from mmproscale.early_exit.gate_losses import LOSSES

UTILITIES = torch.tensor([[0.2, 0.9, 0.4], [0.8, 0.1, 0.3]], dtype=torch.double)


def test_formulas():
    logits = torch.randn(2, 3, dtype=torch.double)
    p, target = logits.softmax(1), UTILITIES.softmax(1)
    expected = {
        "hard-ce": -(p[0, 1].log() + p[1, 0].log()) / 2,
        "u-ce": -(UTILITIES * p.log()).sum() / 2,
        "soft-ce": -(target * p.log()).sum() / 2,
        "soft-mse": (target - p).square().sum() / 2,
    }
    assert expected.keys() == LOSSES.keys()
    for name, value in expected.items():
        torch.testing.assert_close(LOSSES[name](logits, UTILITIES), value)


@pytest.mark.parametrize("name", LOSSES)
def test_following_the_gradient_leads_to_the_best_exit(name):
    logits = torch.zeros(2, 3, dtype=torch.double, requires_grad=True)
    values = []
    for _ in range(300):
        loss = LOSSES[name](logits, UTILITIES)
        values.append(loss.item())
        (gradient,) = torch.autograd.grad(loss, logits)
        logits = (logits - gradient).detach().requires_grad_()
    assert all(later < earlier + 1e-12 for earlier, later in itertools.pairwise(values))
    assert values[-1] < values[0] - 1e-6
    assert logits.argmax(1).tolist() == [1, 0]


def test_hard_ce_takes_the_cheapest_of_equals():
    logits = torch.tensor([[0.0, 2.0, 5.0]])
    equal = torch.tensor([[0.5, 0.5, 0.1]])
    assert LOSSES["hard-ce"](logits, equal) == torch.nn.functional.cross_entropy(
        logits, torch.tensor([0])
    )


def test_u_ce_has_a_lower_bound_also_for_utilities_below_zero():
    far = torch.tensor([[60.0, -60.0]])
    assert LOSSES["u-ce"](far, torch.tensor([[0.3, -0.5]])) >= 0
