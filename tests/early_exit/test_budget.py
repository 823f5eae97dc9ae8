"""The beta that a budget asks for."""

import numpy as np
import pytest
from helpers.derived_tables import derived_table

from mmproscale.early_exit.budget import beta_for_budget
from mmproscale.early_exit.utility import best_exits, largest_useful_beta, utilities


def oracle_cost(table, beta):
    choice = best_exits(utilities(table, beta))
    return np.take_along_axis(table.costs, choice[:, None], 1).mean() / 1e9


@pytest.mark.parametrize("share", [0.001, 0.2, 0.5, 0.8])
def test_the_budget_is_met_and_made_use_of(share):
    table = derived_table(500)
    least, most = table.costs[:, 0].mean() / 1e9, oracle_cost(table, 0)
    budget = least + share * (most - least)
    beta = beta_for_budget(lambda b: oracle_cost(table, b), budget, largest_useful_beta(table) * 2)
    assert oracle_cost(table, beta) <= budget
    assert oracle_cost(table, 0.98 * beta) > budget or share < 0.01


def test_quality_alone_counts_where_the_budget_allows_it():
    assert beta_for_budget(lambda beta: 10 - beta, 10, largest=5) == 0
