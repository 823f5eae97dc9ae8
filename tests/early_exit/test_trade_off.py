"""Cost against quality, on counts that can be added up by hand."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.derived_tables import EXITS, derived_table

from mmproscale.early_exit.class_counts import ClassCounts, dataset_quality
from mmproscale.early_exit.trade_off import TradeOff
from mmproscale.early_exit.utility import best_exits, utilities
from mmproscale.errors import InputError
from mmproscale.evaluation.panoptic_quality import panoptic_quality


def test_dataset_quality_is_the_metrics_own():
    random = np.random.default_rng(0)
    values = random.integers(0, 3, (60, 5, 4))
    values[..., 0] = values[..., 1] * 2**39
    counts = ClassCounts(
        images=np.repeat(np.arange(20), 3),
        labels=np.tile([0, 2, 3], 20),
        values=values,
        num_images=20,
        num_classes=5,
    )
    choice = random.integers(0, 5, 20)
    dense = np.zeros((5, 4), np.int64)
    for row in range(60):
        dense[counts.labels[row]] += values[row, choice[row // 3]]
    assert (counts.totals(choice) == dense).all()
    categories = [dict(id=i, name=str(i), isthing=1) for i in range(5)]
    official = panoptic_quality(dense, categories)["all"]["pq"]
    assert dataset_quality(dense) == pytest.approx(official, abs=1e-12)
    twice = counts.weighted_totals(choice, np.full((1, 20), 2))[0]
    np.testing.assert_allclose(twice, 2 * dense)
    some = np.array([7, 3, 11])
    of_some = sum(_one(counts, image, choice[image]) for image in some)
    assert (counts.take(some).totals(choice[some]) == of_some).all()


def _one(counts, image, place):
    dense = np.zeros((counts.num_classes, 4), np.int64)
    for row in np.flatnonzero(counts.images == image):
        dense[counts.labels[row]] += counts.values[row, place]
    return dense


def test_fixed_exits_cost_and_reach_what_the_file_says():
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


def test_dataset_quality_and_mean_image_quality_are_different_figures():
    table = derived_table(40)
    values = table.counts.values.copy()
    values[:20, :, 2] = 3  # extra segments, which the images' own quality is not told of
    counts = replace(table.counts, values=values)
    point = TradeOff(replace(table, counts=counts), resamples=20).fixed_exits()[0]
    assert point.quality < point.mean_image_quality - 10
    assert TradeOff(replace(table, counts=None), 20).fixed_exits()[0].quality == pytest.approx(
        point.mean_image_quality
    )


def test_the_oracle_is_above_fixed_exits_and_chance_is_not():
    table = derived_table(400)
    judge = TradeOff(table, resamples=200)
    oracle = judge.point("oracle", "oracle", best_exits(utilities(table, 0.02)), beta=0.02)
    assert oracle.over_fixed > 3 and oracle.over_fixed_interval[0] > 0
    drawn = judge.point("gate", "drawn", np.random.default_rng(1).integers(0, 5, 400))
    low, high = drawn.over_fixed_interval
    assert low < 0 < high


def test_the_interval_covers_the_truth_as_often_as_it_says():
    truth = derived_table(20_000, seed=9)
    expected = 100 * dataset_quality(truth.counts.totals(np.zeros(20_000, int)))
    covered = 0
    for trial in range(60):
        drawn = np.random.default_rng(trial).choice(20_000, 100, replace=False)
        low, high = TradeOff(truth.take(drawn), resamples=200).fixed_exits()[0].interval
        covered += low <= expected <= high
    assert covered >= 51


def test_no_images_left():
    with pytest.raises(InputError, match="no image is left to judge by"):
        TradeOff(derived_table(3).take(np.array([], int)))
