"""PQ, SQ, RQ against panopticapi's figures, in memory and from files, and its rules one by one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.evaluation.functional import INSTANCE_OFFSET

from mmproscale.datasets.formats.panoptic_png import read_png
from mmproscale.evaluation import UniversalSegMetric
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.panoptic_quality import (
    GROUPS,
    Segments,
    count_pairs,
    match_segments,
    panoptic_quality,
)
from mmproscale.evaluation.stored_predictions import PanopticResults, score_results

STORED = Path(__file__).parent / "reference"


@pytest.fixture(params=["stored", "coco_samples", "synthetic"])
def pair(request) -> tuple[Path, dict]:
    """A folder of both sides, and panopticapi's figures for it."""
    if request.param == "stored":
        return STORED, json.loads((STORED / "expected.json").read_text())
    goldens = request.getfixturevalue("shared") / "goldens"
    oracle = json.loads((goldens / "pq_oracle.json").read_text())
    return goldens / "pq" / request.param, oracle["sets"][request.param]


def test_files_score_as_with_panopticapi(pair):
    folder, expected = pair
    truth = PanopticGroundTruth(folder / "gt.json", folder / "gt")
    results = PanopticResults(folder / "pred.json", folder / "pred", truth)
    report = score_results(results, per_image=True)
    check_equal(report, expected)


def test_maps_in_memory_score_as_with_panopticapi(pair):
    folder, expected = pair
    metric = UniversalSegMetric(folder / "gt.json", folder / "gt", per_image=True)
    label_of = metric.truth.label_of
    content = json.loads((folder / "pred.json").read_text())
    for annotation in content["annotations"]:
        ids = read_png(folder / "pred" / annotation["file_name"])
        coded = np.full(ids.shape, len(label_of))
        for number, segment in enumerate(annotation["segments_info"]):
            label = label_of[segment["category_id"]]
            coded[ids == segment["id"]] = label + number * INSTANCE_OFFSET
        prediction = {"sem_seg": torch.from_numpy(coded)[None]}
        metric.process(None, [{"img_id": annotation["image_id"], "pred_panoptic_seg": prediction}])
    figures = metric.evaluate(len(content["annotations"]))
    check_equal(metric.report, expected)
    for group, suffix in GROUPS.items():
        expected_pq = 100 * expected[group.capitalize()]["pq"]
        assert figures[f"universal/PQ{suffix}"] == pytest.approx(expected_pq, abs=1e-6)


def check_equal(report: dict, expected: dict) -> None:
    for group in GROUPS:
        for key in ("pq", "sq", "rq", "n"):
            assert report[group][key] == pytest.approx(expected[group.capitalize()][key], abs=1e-6)
    for category_id, figures in expected["per_class"].items():
        ours = report["per_class"][category_id]
        seen = ours["tp"] + ours["fp"] + ours["fn"] > 0
        assert (category_id in expected["totals"]) == seen
        for key in ("pq", "sq", "rq"):
            assert ours[key] == pytest.approx(figures[key], abs=1e-6)
    for category_id, totals in expected["totals"].items():
        ours = report["per_class"][category_id]
        assert {key: ours[key] for key in totals} == pytest.approx(totals, abs=1e-6)
    for image in expected.get("per_image", []):
        ours = report["per_image"][str(image["image_id"])]["per_class"]
        for category_id, totals in image["stat"].items():
            if any(totals.values()):
                assert {k: ours[category_id][k] for k in totals} == pytest.approx(totals, abs=1e-6)
    check_that_images_sum_to_the_whole(report)


def check_that_images_sum_to_the_whole(report: dict) -> None:
    for category_id, whole in report["per_class"].items():
        of_images = [i["per_class"].get(category_id) for i in report["per_image"].values()]
        for key in ("iou", "tp", "fp", "fn"):
            assert sum(entry[key] for entry in of_images if entry) == pytest.approx(whole[key])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (37, 23)])
def test_counts_every_pair(dtype, shape):
    random = np.random.default_rng(0)
    first, second = random.integers(0, 5, (2, *shape)).astype(dtype)
    pairs, pixels = np.unique(
        np.stack([first.ravel(), second.ravel()], 1), axis=0, return_counts=True
    )
    a, b, counted = count_pairs(first, second)
    assert np.column_stack([a, b]).tolist() == pairs.tolist()
    assert counted.tolist() == pixels.tolist()


def test_the_largest_and_the_smallest_values():
    first = np.array([[2**31 - 1, 2**31 - 1, 0]])
    second = np.array([[-(2**31), 2**31 - 1, -1]])
    counted = sorted(zip(*(part.tolist() for part in count_pairs(first, second)), strict=True))
    assert counted == [(0, -1, 1), (2**31 - 1, -(2**31), 1), (2**31 - 1, 2**31 - 1, 1)]


def test_maps_that_are_not_in_one_piece_and_an_empty_one():
    first = np.arange(12).reshape(3, 4) // 5
    assert [p.tolist() for p in count_pairs(first.T, first.T)] == [[0, 1, 2], [0, 1, 2], [5, 5, 2]]
    assert [len(part) for part in count_pairs(np.zeros((0, 4), int), np.zeros((0, 4), int))] == [
        0
    ] * 3


def segments(*entries: tuple[int, int, int, int]) -> Segments:
    """Segments from rows of (id, label, area, iscrowd)."""
    ids, labels, areas, crowds = np.array(entries, np.int64).reshape(-1, 4).T
    return Segments(ids, labels, areas, crowds.astype(bool))


def counts_of(true_row: list, truth: Segments, predicted_row: list, prediction: Segments):
    """Counts of two maps of one row, as lists; sums of IoU are plain numbers."""
    pairs = count_pairs(np.array([true_row]), np.array([predicted_row]))
    counts = match_segments(truth, prediction, pairs, num_classes=2).astype(float)
    counts[:, 0] *= 2.0**-40
    return counts.tolist()


def test_an_iou_of_a_half_is_no_match():
    truth, prediction = segments((7, 0, 3, 0)), segments((1, 0, 3, 0))
    missed_and_extra = [[0, 0, 1, 1], [0, 0, 0, 0]]
    # Two of four pixels.
    assert counts_of([7, 7, 7, 9], truth, [2, 1, 1, 1], prediction) == missed_and_extra
    truth, prediction = segments((7, 0, 2, 0)), segments((1, 0, 3, 0))
    assert counts_of([9, 7, 7], truth, [1, 1, 1], prediction)[0] == pytest.approx([2 / 3, 1, 0, 0])


def test_a_segment_of_another_class_is_no_match():
    counts = counts_of([7, 7], segments((7, 0, 2, 0)), [1, 1], segments((1, 1, 2, 0)))
    assert counts == [[0, 0, 0, 1], [0, 0, 1, 0]]


def test_the_union_leaves_out_void_and_takes_the_area_of_the_json():
    # Without the void, 2 of the JSON's 3 pixels.
    counts = counts_of([7, 7, 0, 0], segments((7, 0, 3, 0)), [1, 1, 1, 1], segments((1, 0, 4, 0)))
    assert counts[0] == pytest.approx([2 / 3, 1, 0, 0])


@pytest.mark.parametrize(("crowd_class", "extra"), [(0, 0), (1, 1)])
def test_predictions_mostly_on_void_and_crowd_are_not_extra(crowd_class, extra):
    truth, prediction = segments((5, crowd_class, 2, 1)), segments((1, 0, 4, 0))
    # One pixel of void, two of the crowd, one that belongs to nothing; a crowd is never missed.
    counts = counts_of([0, 5, 5, 9], truth, [1, 1, 1, 1], prediction)
    assert counts == [[0, 0, extra, 0], [0, 0, 0, 0]]


def test_a_prediction_half_on_void_is_extra():
    assert counts_of([0, 9], segments(), [1, 1], segments((1, 0, 2, 0)))[0] == [0, 0, 1, 0]


def test_only_the_last_crowd_of_a_class_counts():
    last, first = (5, 0, 3, 1), (6, 0, 1, 1)
    for order, extra in (((first, last), 0), ((last, first), 1)):
        counts = counts_of([5, 5, 5, 6], segments(*order), [1, 1, 1, 1], segments((1, 0, 4, 0)))
        assert counts[0] == [0, 0, extra, 0]


def test_a_crowd_is_never_matched():
    counts = counts_of([5, 5], segments((5, 0, 2, 1)), [1, 1], segments((1, 0, 2, 0)))
    assert counts == [[0, 0, 0, 0]] * 2


def test_nothing_predicted_and_nothing_there():
    nothing = segments()
    assert counts_of([7], segments((7, 0, 1, 0)), [3], nothing) == [[0, 0, 0, 1], [0] * 4]
    assert counts_of([9], nothing, [1], segments((1, 1, 1, 0))) == [[0] * 4, [0, 0, 1, 0]]
    assert counts_of([0], nothing, [1], nothing) == [[0] * 4] * 2


def test_classes_that_occur_nowhere_are_left_out():
    categories = [{"id": 3, "name": "car", "isthing": 1}, {"id": 1, "name": "sky", "isthing": 0}]
    quality = panoptic_quality(np.array([[0, 0, 0, 0], [2**40, 1, 1, 1]]), categories)
    assert quality["all"] == quality["stuff"] == {"pq": 0.5, "sq": 1.0, "rq": 0.5, "n": 1}
    assert quality["things"]["n"] == 0 and np.isnan(quality["things"]["pq"])
    unseen = quality["per_class"]["3"]
    assert [unseen[key] for key in ("pq", "sq", "rq", "tp", "fp", "fn")] == [0] * 6
