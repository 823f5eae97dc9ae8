"""PQ and AP of a dataset from records of its images, for any choice of exits."""

import numpy as np
import pytest
from helpers.box_results import (
    EXITS,
    IMAGES,
    ap_by_coco,
    build_dataset,
    results_of,
    write_truth,
)
from helpers.derived_tables import origin

from mmproscale.early_exit.dataset_quality import ClassCounts, pq_of_counts
from mmproscale.early_exit.derived_file import read_table, write_rows
from mmproscale.early_exit.image_quality import BoxImageQuality
from mmproscale.evaluation.panoptic_quality import panoptic_quality


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_truth(tmp_path_factory.mktemp("truth") / "instances.json")


@pytest.fixture(scope="module")
def results(truth):
    return results_of(truth)


@pytest.fixture(scope="module")
def matches(truth, results, tmp_path_factory):
    """Matches of all results, as step B writes and step C reads them."""
    measure = BoxImageQuality(build_dataset(truth))
    unused = dict(height=1, width=1, quality=[0.0] * EXITS, gate_input=[0.0], fixed_macs=1)
    rows = [
        dict(image_id=str(image), layer_macs=[1] * EXITS, **unused)
        | measure.columns([measure.measure(sample)[1] for sample in of_exits])
        for image, of_exits in enumerate(results)
    ]
    path = tmp_path_factory.mktemp("derived") / "boxes.parquet"
    exits = tuple(range(1, EXITS + 1))
    fields = dict(quality="ap", exits=exits, num_layers=EXITS, categories=measure.categories)
    write_rows(path, rows, origin(**fields))
    return read_table(path).counts


def test_pq_of_a_choice_is_the_metrics_pq_of_summed_counts():
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
    expected = sum(dense_counts(counts, image, choice[image]) for image in range(20))
    assert (counts.totals(choice) == expected).all()
    categories = [dict(id=i, name=str(i), isthing=1) for i in range(5)]
    official = panoptic_quality(expected, categories)["all"]["pq"]
    assert counts.quality(choice) == pytest.approx(official, abs=1e-12)
    twice = counts.weighted_totals(choice, np.full((1, 20), 2))[0]
    np.testing.assert_allclose(twice, 2 * expected)
    some = np.array([7, 3, 11])
    of_some = sum(dense_counts(counts, image, choice[image]) for image in some)
    assert (counts.take(some).totals(choice[some]) == of_some).all()


def dense_counts(counts, image, exit_index):
    dense = np.zeros((counts.num_classes, 4), np.int64)
    for row in np.flatnonzero(counts.images == image):
        dense[counts.labels[row]] += counts.values[row, exit_index]
    return dense


def test_pq_without_any_segment_is_undefined():
    assert np.isnan(pq_of_counts(np.zeros((3, 4), np.int64)))


@pytest.mark.slow
def test_ap_of_any_choice_of_exits_equals_cocos(truth, matches, results):
    random = np.random.default_rng(2)
    for choice in ([0], [2], *random.integers(EXITS, size=(6, IMAGES))):
        choice = np.broadcast_to(choice, IMAGES)
        expected = ap_by_coco(truth, [results[i][choice[i]] for i in range(IMAGES)])
        assert matches.quality(choice) == pytest.approx(expected[0], abs=1e-12)
    assert 0.05 < expected[0] < 0.95


def test_ap_of_some_images_equals_cocos(truth, matches, results):
    some = np.array([3, 4, 9, 10, 20])
    choice = np.array([2, 0, 1, 1, 0])
    expected = ap_by_coco(
        truth, [results[i][e] for i, e in zip(some, choice, strict=True)], some.tolist()
    )
    assert matches.take(some).quality(choice) == pytest.approx(expected[0], abs=1e-12)


def test_a_resample_counts_its_images_as_often_as_it_has_them(matches):
    random = np.random.default_rng(3)
    weights = random.multinomial(IMAGES, [1 / IMAGES] * IMAGES, size=4)
    choice = random.integers(EXITS, size=IMAGES)
    whole = matches.qualities(choice, weights)
    for weight, value in zip(weights, whole, strict=True):
        kept = np.flatnonzero(weight)
        some = matches.take(kept)
        assert some.qualities(choice[kept], weight[kept][None])[0] == pytest.approx(value)
        assert some.quality(choice[kept]) != pytest.approx(value)
    doubled = matches.qualities(choice, np.full((1, IMAGES), 2))
    assert doubled[0] == pytest.approx(matches.quality(choice), abs=0.02)
