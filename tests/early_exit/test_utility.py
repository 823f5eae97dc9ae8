"""Utilities and targets: eq. 4 and 5, and properties that hold for any numbers."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from helpers.derived_tables import derived_table, origin

from mmproscale.early_exit.utility import best_exits, largest_useful_beta, utilities
from mmproscale.errors import InputError


def test_utility_equals_eq_4_where_layers_cost_alike():
    table = derived_table()
    expected = table.quality - 0.01 * np.array([2, 3, 4, 5, 6])
    np.testing.assert_allclose(utilities(table, 0.01), expected)


def test_layers_are_weighed_by_their_cost():
    layers = np.array([[10, 10, 10, 10, 10, 70]])  # the mean layer costs 20
    table = replace(derived_table(1), origin=origin(exits=(2, 4), tail=1), layer_macs=layers)
    table = replace(table, quality=np.array([[0.5, 0.6]]))
    np.testing.assert_allclose(utilities(table, 0.02), [[0.5 - 0.02 * 4.5, 0.6 - 0.02 * 5.5]])


def test_a_larger_beta_never_raises_the_cost_of_targets():
    table = derived_table(500, seed=3)
    spent = []
    for beta in (0, 1e-4, 5e-4, 0.003, 0.01, 0.03, 0.1, 0.3, 1):
        choice = best_exits(utilities(table, beta))
        spent.append(np.take_along_axis(table.costs, choice[:, None], 1))
    assert all((later <= earlier).all() for earlier, later in itertools.pairwise(spent))
    assert spent[-1].sum() < spent[0].sum()


def test_targets_take_the_cheapest_of_equals_and_no_closed_exit():
    table = replace(derived_table(2), quality=np.array([[0.5] * 5, [0.1, 0.2, 0.3, 0.4, 0.9]]))
    assert best_exits(utilities(table, 0)).tolist() == [0, 4]
    assert best_exits(utilities(table, 0, max_layers=4)).tolist() == [0, 2]


def test_an_undefined_quality_counts_as_one():
    nothing = [np.nan, 0.0, np.nan, 0.0, 0.0]
    table = replace(derived_table(1), quality=np.array([nothing]))
    assert utilities(table, 0).tolist() == [[1.0, 0.0, 1.0, 0.0, 0.0]]


def test_from_the_largest_useful_beta_on_the_first_exit_is_every_target():
    table = derived_table(seed=5)
    largest = largest_useful_beta(table)
    assert best_exits(utilities(table, 0.9 * largest)).max() > 0
    assert best_exits(utilities(table, 1.000001 * largest)).max() == 0


@pytest.mark.parametrize("beta", [-0.1, float("inf"), float("nan")])
def test_an_invalid_beta(beta):
    with pytest.raises(InputError, match="must be a number from 0"):
        utilities(derived_table(3), beta)


def test_a_single_exit_leaves_nothing_to_choose():
    with pytest.raises(InputError, match=r"at most 2 layers leave 1 .* give 3 or more"):
        utilities(derived_table(3), 0.1, max_layers=2)
    single = replace(derived_table(3), origin=origin(exits=(6,)))
    with pytest.raises(InputError, match="has one exit, 6"):
        utilities(replace(single, quality=single.quality[:, :1]), 0.1)
