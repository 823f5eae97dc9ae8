"""Fitting the gate to stored vectors."""

import numpy as np
import pytest
from helpers.derived_tables import derived_table

from mmproscale.early_exit.gate_fitting import (
    CLOSED,
    STRENGTHS,
    choose_strength,
    fit_best_gate,
    fit_gate,
)
from mmproscale.early_exit.gate_losses import LOSSES
from mmproscale.early_exit.utility import best_exits, utilities
from mmproscale.errors import InputError


@pytest.mark.parametrize("loss", LOSSES)
def test_what_the_gate_input_shows_is_learnt_and_holds_for_other_images(loss):
    table, others = derived_table(400, seed=1), derived_table(200, seed=2)
    gate = fit_gate(table.gate_inputs, utilities(table, 0.02), loss)
    right = gate.choose(others.gate_inputs) == best_exits(utilities(others, 0.02))
    assert right.mean() > 0.97


def test_it_is_the_same_gate_again():
    table = derived_table()
    one, other = (fit_best_gate(table.gate_inputs, utilities(table, 0.02)) for _ in range(2))
    assert np.array_equal(one.weight, other.weight) and np.array_equal(one.bias, other.bias)
    assert one.weight.dtype == one.bias.dtype == np.float32


def test_inputs_are_taken_as_they_come_whatever_their_scale():
    table = derived_table()
    wanted = utilities(table, 0.02)
    gate = fit_gate(table.gate_inputs, wanted)
    scale, shift = np.float32([1e3, 1e-3, 1, 1, 2, 3, 4, 5]), np.float32([7, 0, 0, -9, 1, 1, 1, 1])
    moved = table.gate_inputs * scale + shift
    assert (fit_gate(moved, wanted).choose(moved) == gate.choose(table.gate_inputs)).mean() > 0.99


def test_a_channel_that_does_not_vary_has_no_say():
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


def test_the_penalty_follows_what_there_is_to_learn():
    table = derived_table(200, seed=4)
    wanted = utilities(table, 0.02)
    blind = np.random.default_rng(0).normal(size=(200, 100)).astype(np.float32)
    told = choose_strength(table.gate_inputs, wanted)
    assert told < choose_strength(blind, wanted)
    assert choose_strength(table.gate_inputs[:5], wanted[:5]) == max(STRENGTHS)


def test_what_cannot_be_fitted():
    table = derived_table(4)
    with pytest.raises(InputError, match="loss 'mse' is unknown: use one of hard-ce, u-ce"):
        fit_gate(table.gate_inputs, utilities(table, 0.02), "mse")
    with pytest.raises(InputError, match="no image is left"):
        fit_gate(table.gate_inputs[:0], utilities(table, 0.02)[:0])
