"""Cost against quality of choices of exits: points, table, JSON and plot."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.derived_tables import EXITS, derived_table, origin

from mmproscale.early_exit.trade_off import (
    TradeOff,
    draw_trade_off,
    trade_off_json,
    trade_off_rows,
)
from mmproscale.early_exit.utility import best_exits, utilities
from mmproscale.errors import InputError


def test_points_of_fixed_exits_have_the_tables_cost_and_quality():
    table = derived_table(50)
    points = TradeOff(table, resamples=20).fixed_exits()
    assert [p.name for p in points] == [f"exit {k}" for k in EXITS]
    for place, point in enumerate(points):
        assert point.gmacs == pytest.approx(table.costs[:, place].mean() / 1e9)
        assert point.encoder_gmacs == pytest.approx(point.gmacs - 5)
        assert point.mean_image_quality == pytest.approx(100 * table.quality[:, place].mean())
        assert point.exits == {k: 50 * (k == EXITS[place]) for k in EXITS}
        assert point.over_fixed == pytest.approx(0, abs=1e-9)
        assert point.over_fixed_interval == pytest.approx((0, 0), abs=1e-9)


def test_dataset_quality_and_mean_image_quality_differ():
    table = derived_table(40)
    values = table.counts.values.copy()
    values[:20, :, 2] = 3  # extra segments, which the images' own qualities leave out
    counts = replace(table.counts, values=values)
    point = TradeOff(replace(table, counts=counts), resamples=20).fixed_exits()[0]
    assert point.quality < point.mean_image_quality - 10


def test_an_oracle_is_above_fixed_exits_and_a_random_choice_is_not():
    table = derived_table(400)
    judge = TradeOff(table, resamples=200)
    oracle = judge.point("oracle", "oracle", best_exits(utilities(table, 0.02)), beta=0.02)
    assert oracle.over_fixed > 3 and oracle.over_fixed_interval[0] > 0
    drawn = judge.point("gate", "drawn", np.random.default_rng(1).integers(0, 5, 400))
    low, high = drawn.over_fixed_interval
    assert low < 0 < high


def test_the_interval_covers_the_truth_in_about_95_percent():
    truth = derived_table(20_000, seed=9)
    expected = 100 * truth.counts.quality(np.zeros(20_000, int))
    covered = 0
    for trial in range(60):
        drawn = np.random.default_rng(trial).choice(20_000, 100, replace=False)
        low, high = TradeOff(truth.take(drawn), resamples=200).fixed_exits()[0].interval
        covered += low <= expected <= high
    assert covered >= 51


def test_no_images_left():
    with pytest.raises(InputError, match="no image is left to judge by"):
        TradeOff(derived_table(3).take(np.array([], int)))


@pytest.fixture(scope="module")
def points():
    table = derived_table(50)
    judge = TradeOff(table, resamples=20)
    choice = best_exits(utilities(table, 0.02, max_layers=4))
    return [*judge.fixed_exits(), judge.point("gate", "gate, beta 0.02", choice, 0.02, 4)]


def test_a_table_has_a_row_for_each_point(points):
    heading, *rows = trade_off_rows(points, origin())
    assert heading == [
        "",
        "GFLOPs",
        "PQ (95%)",
        "mean image PQ",
        "over fixed exits",
        "images at 2/3/4/5/6",
    ]
    assert [row[0] for row in rows] == [*(f"exit {k}" for k in EXITS), "gate, beta 0.02"]
    assert rows[0][4] == "" and rows[0][5] == "50/0/0/0/0"
    gate = points[-1]
    low, high = gate.interval
    assert rows[-1][1:3] == [f"{gate.gmacs:.2f}", f"{gate.quality:.2f} ({low:.1f},{high:.1f})"]
    low, high = gate.over_fixed_interval
    assert rows[-1][4] == f"{gate.over_fixed:+.2f} ({low:+.1f},{high:+.1f})"


def test_json_has_the_points_and_the_numbers_of_images(points):
    content = json.loads(json.dumps(trade_off_json(points, origin(), fitted=200, judged=50)))
    assert (content["quality"], content["quality_is_of"]) == ("pq", "dataset")
    assert (content["images_fitted_to"], content["images_judged_by"]) == (200, 50)
    gate = content["points"][-1]
    assert (gate["kind"], gate["beta"], gate["max_layers"]) == ("gate", 0.02, 4)
    assert sum(gate["exits"].values()) == 50 and gate["exits"]["6"] == 0
    assert 100 * gate["quality"] == pytest.approx(points[-1].quality) and gate["quality"] < 1
    assert [100 * end for end in gate["interval"]] == pytest.approx(points[-1].interval)


def test_a_plot_is_a_png(points, tmp_path):
    path = draw_trade_off(tmp_path / "curve.png", points, "PQ, percent", "title")
    assert cv2.imread(str(path)).std() > 0
