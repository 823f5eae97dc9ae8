"""Predicted costs, which equal the traced ones, and measured latency."""

from pathlib import Path

import pytest
from helpers.plan_candidates import M2F, boxes, growth

from mmproscale.cost.model_cost import build_network, model_cost
from mmproscale.planning.candidates import FRAMEWORKS, base_config, candidate_config
from mmproscale.planning.plan_prices import priced_candidates, with_latency


@pytest.fixture(scope="module")
def candidates():
    configs = Path(__file__).resolve().parents[2] / "configs"
    return list(priced_candidates(configs, "r50", (301, 420), max_repeats=2))


@pytest.mark.slow
def test_every_schedule_comes_with_both_embeddings(candidates):
    assert len(candidates) == 2 * (2**3 + 6 + 5) == len({c.name for c in candidates})
    assert all(c.macs > 0 for c in candidates)


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 7, 9, 18, 19, 26, 30, 37])
def test_predicted_cost_equals_that_of_the_written_config(candidates, configs, index):
    config = candidate_config(candidates[index], base_config(configs, "r50"))
    cost = model_cost(build_network(config), (301, 420))
    assert cost.published_total == candidates[index].macs


def test_latency_is_measured_for_each_candidate(configs):
    rounds = []
    some = with_latency(
        [growth(1, 1, 1), M2F],
        base_config(configs, "r50"),
        (64, 64),
        device="cpu",
        rounds=2,
        after_round=lambda: rounds.append(1),
    )
    assert len(rounds) == 3
    assert [c.schedule for c in some] == [growth(1, 1, 1).schedule, M2F.schedule]
    assert all(c.latency > 0 for c in some)


@pytest.mark.slow
def test_predicted_costs_of_detectors_equal_those_of_the_written_configs(configs):
    shape = (220, 250)
    candidates = {
        one.file_stem + str(len(one.schedule.stages)): one
        for one in priced_candidates(configs, "r50", shape, 2, FRAMEWORKS["dino"])
    }
    assert len(candidates) == 2**4 + 2**3 + 6 + 5 + 2 + 1
    base = base_config(configs, "r50", FRAMEWORKS["dino"])
    for name in ("proscale-21214", "lite-136"):
        config = candidate_config(candidates[name], base)
        cost = model_cost(build_network(config), shape)
        assert cost.total == candidates[name].macs


def test_latency_of_detectors_is_measured(configs):
    some = with_latency(
        [boxes("m2f", layers=1)],
        base_config(configs, "r50", FRAMEWORKS["dino"]),
        (224, 256),
        "cpu",
        rounds=1,
    )
    assert some[0].latency > 0
