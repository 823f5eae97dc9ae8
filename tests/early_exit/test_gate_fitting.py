"""Losses of Table T2 against their formulas, and the gate that is fitted to stored vectors."""

import itertools

import numpy as np
import pytest
import torch
from helpers.derived_tables import derived_table

from mmproscale.early_exit.gate_fitting import (
    CLOSED,
    LOSSES,
    STRENGTHS,
    choose_strength,
    fit_best_gate,
    fit_gate,
)
from mmproscale.early_exit.utility import best_exits, utilities
from mmproscale.errors import InputError

UTILITIES = torch.tensor([[0.2, 0.9, 0.4], [0.8, 0.1, 0.3]], dtype=torch.double)


def test_losses_equal_their_formulas():
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
def test_gradient_descent_leads_to_the_best_exit(name):
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


def test_u_ce_has_a_lower_bound_for_negative_utilities():
    far = torch.tensor([[60.0, -60.0]])
    assert LOSSES["u-ce"](far, torch.tensor([[0.3, -0.5]])) >= 0


@pytest.mark.parametrize("loss", LOSSES)
def test_a_gate_learns_what_its_input_shows_and_generalises(loss):
    table, others = derived_table(400, seed=1), derived_table(200, seed=2)
    gate = fit_gate(table.gate_inputs, utilities(table, 0.02), loss)
    right = gate.choose(others.gate_inputs) == best_exits(utilities(others, 0.02))
    assert right.mean() > 0.97


def test_fitting_again_gives_the_same_gate():
    table = derived_table()
    one, other = (fit_best_gate(table.gate_inputs, utilities(table, 0.02)) for _ in range(2))
    assert np.array_equal(one.weight, other.weight) and np.array_equal(one.bias, other.bias)
    assert one.weight.dtype == one.bias.dtype == np.float32


def test_the_scale_of_inputs_does_not_matter():
    table = derived_table()
    wanted = utilities(table, 0.02)
    gate = fit_gate(table.gate_inputs, wanted)
    scale, shift = np.float32([1e3, 1e-3, 1, 1, 2, 3, 4, 5]), np.float32([7, 0, 0, -9, 1, 1, 1, 1])
    moved = table.gate_inputs * scale + shift
    assert (fit_gate(moved, wanted).choose(moved) == gate.choose(table.gate_inputs)).mean() > 0.99


def test_a_constant_channel_gets_no_weight():
    table = derived_table()
    inputs = table.gate_inputs.copy()
    inputs[:, 3] = 4.0
    gate = fit_gate(inputs, utilities(table, 0.02))
    assert np.abs(gate.weight[:, 3]).max() < 1e-6 * np.abs(gate.weight).max()


def test_closed_exits_are_never_taken():
    table = derived_table()
    gate = fit_gate(table.gate_inputs, utilities(table, 0.02, max_layers=4))
    assert set(gate.choose(table.gate_inputs)) == {0, 2}
    assert gate.bias[3:].tolist() == [CLOSED, CLOSED] and not gate.weight[3:].any()


@pytest.mark.parametrize("loss", LOSSES)
def test_one_target_for_all_images(loss):
    table = derived_table()
    gate = fit_best_gate(table.gate_inputs, utilities(table, 50.0), loss)
    assert set(gate.choose(table.gate_inputs)) == {0}


def test_the_penalty_is_weaker_where_inputs_show_the_target():
    table = derived_table(200, seed=4)
    wanted = utilities(table, 0.02)
    blind = np.random.default_rng(0).normal(size=(200, 100)).astype(np.float32)
    informed = choose_strength(table.gate_inputs, wanted)
    assert informed < choose_strength(blind, wanted)
    assert choose_strength(table.gate_inputs[:5], wanted[:5]) == max(STRENGTHS)


def test_an_unknown_loss_and_no_images():
    table = derived_table(4)
    with pytest.raises(InputError, match="loss 'mse' is unknown: use one of hard-ce, u-ce"):
        fit_gate(table.gate_inputs, utilities(table, 0.02), "mse")
    with pytest.raises(InputError, match="no image is left"):
        fit_gate(table.gate_inputs[:0], utilities(table, 0.02)[:0])
