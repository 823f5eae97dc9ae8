"""Gates for one beta, many betas and a budget, judged by images that were held out."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from helpers.derived_tables import derived_table

from mmproscale.early_exit.derived_table import split
from mmproscale.early_exit.gate_sweep import GateSweep, beta_for_budget, warning_of
from mmproscale.early_exit.trade_off import TradeOff
from mmproscale.early_exit.utility import best_exits, largest_useful_beta, utilities
from mmproscale.errors import InputError


def sweep_of(table, loss="hard-ce"):
    fitting, judging = split(table, 0.3)
    return GateSweep(fitting, TradeOff(judging, resamples=100), loss)


@pytest.fixture(scope="module")
def sweep():
    return sweep_of(derived_table(400, noise=2.0))


@pytest.mark.slow
def test_the_curve_has_fixed_exits_gates_and_oracles(sweep):
    seen = []
    points = sweep.curve([0.02, 0.0], [None, 4], lambda *done: seen.append(done))
    names = [p.name for p in points]
    assert names[:5] == ["exit 2", "exit 3", "exit 4", "exit 5", "exit 6"]
    assert names[5:9] == ["gate, beta 0", "oracle, beta 0", "gate, beta 0.02", "oracle, beta 0.02"]
    assert names[9] == "gate, beta 0, 4 layers" and len(points) == 13
    assert seen[0] == (0, 4) and seen[-1] == (4, 4)
    for point in points[9:]:
        assert point.exits[5] == point.exits[6] == 0


def test_an_informed_gate_lies_between_fixed_exits_and_oracle(sweep):
    gate, oracle = sweep.curve([0.02])[5:]
    assert 1 < gate.over_fixed <= oracle.over_fixed + 0.5
    assert gate.interval[0] < gate.quality < gate.interval[1]


def test_a_blind_gate_is_no_better_than_fixed_exits():
    table = derived_table(400)
    blind = np.random.default_rng(1).normal(size=table.gate_inputs.shape).astype(np.float32)
    gate = sweep_of(replace(table, gate_inputs=blind)).curve([0.02])[5]
    assert gate.over_fixed < 1


def test_the_oracles_mean_cost_falls_with_beta(sweep):
    costs = [sweep.oracle(beta).gmacs for beta in (0, 1e-3, 0.01, 0.05, 0.2, 1)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(costs))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "share"), [("hard-ce", 0.0), ("u-ce", 0.3), ("soft-ce", 0.7), ("soft-mse", 1.0)]
)
def test_a_budget_is_met_on_the_images_held_out(loss, share):
    sweep = sweep_of(derived_table(120, noise=2.0), loss)
    first, *_, last = (point.gmacs for point in sweep.judge.fixed_exits())
    budget = first + share * (last - first)
    beta = sweep.beta_for(budget)
    assert sweep.judge_gate(sweep.fit(beta), beta).gmacs <= budget + 1e-9
    assert (beta == 0) == (share == 1)


def test_a_budget_below_the_cheapest_exit(sweep):
    with pytest.raises(InputError, match="nothing fits 3 GFLOPs: the cheapest, exit 2, takes"):
        sweep.beta_for(3)


def test_a_gate_that_sends_all_images_to_one_exit_gets_a_warning(sweep):
    point = sweep.judge_gate(sweep.fit(10.0), 10.0)
    expected = "with beta 10 the gate sends every image to exit 2: a smaller beta lets it choose"
    assert warning_of(point) == expected
    assert warning_of(sweep.judge_gate(sweep.fit(0.02), 0.02)) is None


def oracle_cost(table, beta):
    choice = best_exits(utilities(table, beta))
    return np.take_along_axis(table.costs, choice[:, None], 1).mean() / 1e9


@pytest.mark.parametrize("share", [0.001, 0.2, 0.5, 0.8])
def test_the_smallest_beta_within_the_budget(share):
    table = derived_table(500)
    least, most = table.costs[:, 0].mean() / 1e9, oracle_cost(table, 0)
    budget = least + share * (most - least)
    beta = beta_for_budget(lambda b: oracle_cost(table, b), budget, largest_useful_beta(table) * 2)
    assert oracle_cost(table, beta) <= budget
    assert oracle_cost(table, 0.98 * beta) > budget or share < 0.01


def test_beta_is_zero_if_the_budget_allows_it():
    assert beta_for_budget(lambda beta: 10 - beta, 10, largest=5) == 0
