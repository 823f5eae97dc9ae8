"""Outcomes of the segments of an image."""

import numpy as np
import pytest

from mmproscale.evaluation.panoptic_quality import (
    IOU_UNIT,
    Segments,
    count_pairs,
    match_segments,
)
from mmproscale.evaluation.segment_outcomes import (
    confusion_matrix,
    quality_by_size,
    segment_outcomes,
)

CAR, ROAD = 0, 1


def segments(id_map, labels, crowds=()):
    """Return the segments of an id map; ``labels`` has the class of each id from 1."""
    ids = np.array([number for number in np.unique(id_map) if number], np.int64)
    areas = np.array([(id_map == number).sum() for number in ids], np.int64)
    of_ids = np.array([labels[number - 1] for number in ids], np.int64)
    return Segments(ids, of_ids, areas, np.isin(ids, crowds))


def compare(truth, labels, prediction, predicted_labels, crowds=()):
    truth, prediction = np.array(truth), np.array(prediction)
    return segment_outcomes(
        segments(truth, labels, crowds),
        segments(prediction, predicted_labels),
        count_pairs(truth, prediction),
    )


@pytest.mark.parametrize(
    ("truth", "labels", "prediction", "predicted_labels", "true_states", "predicted_states"),
    [
        ([[1, 1, 2, 2]], [CAR, ROAD], [[5, 5, 6, 6]], [0] * 4 + [CAR, ROAD], "mm", "mm"),
        ([[1, 1, 1, 1]], [CAR], [[1, 1, 1, 1]], [ROAD], "w", "w"),
        ([[1, 1, 2, 2]], [CAR, CAR], [[1, 1, 1, 1]], [CAR], "gg", "e"),
        ([[1, 1, 1, 1]], [CAR], [[1, 1, 2, 2]], [CAR, CAR], "s", "ee"),
        ([[1, 1, 1, 1]], [CAR], [[0, 0, 0, 0]], [], "M", ""),
        ([[1, 0, 0, 0]], [CAR], [[0, 2, 2, 2]], [CAR, CAR], "M", "i"),
        ([[1, 1, 1, 2]], [CAR, CAR], [[1, 1, 1, 1]], [CAR], "mg", "m"),
        ([[1, 1, 1, 2]], [ROAD, CAR], [[1, 1, 1, 1]], [ROAD], "mM", "m"),
    ],
    ids=[
        "right",
        "wrong class",
        "merged",
        "split",
        "missed",
        "on void",
        "match keeps its partner",
        "other class",
    ],
)
def test_states(truth, labels, prediction, predicted_labels, true_states, predicted_states):
    names = dict(m="matched", w="wrong class", g="merged", s="split", M="missed", e="extra")
    names["i"] = "ignored"
    true, predicted = compare(truth, labels, prediction, predicted_labels)
    assert [one.state for one in true] == [names[letter] for letter in true_states]
    assert [one.state for one in predicted] == [names[letter] for letter in predicted_states]


def test_crowds_are_neither_matched_nor_lost():
    true, predicted = compare([[1, 1, 1, 2]], [CAR, CAR], [[1, 1, 1, 2]], [CAR, CAR], crowds=[1])
    assert [one.state for one in true] == ["ignored", "matched"]
    assert [one.state for one in predicted] == ["ignored", "matched"]


def random_image(generator):
    """Return truth and prediction that agree in part, with void, crowds and wrong classes."""
    truth = generator.integers(0, 6, (4, 4)).repeat(4, 0).repeat(4, 1)
    prediction = np.where(generator.random(truth.shape) < 0.8, truth, 6)
    labels = generator.integers(0, 3, 6).tolist()
    changed = [label if generator.random() < 0.7 else 2 - label for label in labels]
    crowds = np.flatnonzero(generator.random(6) < 0.1) + 1
    return (
        segments(truth, labels, crowds),
        segments(prediction, changed),
        count_pairs(truth, prediction),
    )


def test_counts_are_those_of_panoptic_quality():
    generator = np.random.default_rng(0)
    for _ in range(200):
        image = random_image(generator)
        true, predicted = segment_outcomes(*image)
        counts = match_segments(*image, num_classes=3)
        for label in range(3):
            states = [one.state for one in predicted if one.label == label]
            iou, tp, _, fn = counts[label]
            matched = [one.iou for one in true if (one.label, one.state) == (label, "matched")]
            lost = [
                one
                for one in true
                if one.label == label and one.state not in ("matched", "ignored")
            ]
            assert (len(matched), len(lost)) == (tp, fn) and states.count("matched") == tp
            assert sum(matched) == pytest.approx(iou * IOU_UNIT)


def test_confusion_has_a_row_for_extra_and_columns_for_lost_segments():
    images = [
        compare([[1, 1, 2, 2]], [CAR, CAR], [[1, 1, 1, 1]], [CAR]),
        compare([[1, 1, 1, 1]], [ROAD], [[1, 1, 1, 1]], [CAR]),
        compare([[1, 1, 1, 1]], [ROAD], [[1, 1, 1, 1]], [ROAD]),
    ]
    assert confusion_matrix(images, 2).tolist() == [
        [0, 0, 2, 0, 0],  # merged
        [1, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],  # extra
    ]


def test_quality_by_size():
    truth = np.zeros((100, 220), int)
    truth[:10, :10], truth[50:, :50], truth[:, 110:] = 1, 2, 3
    prediction = np.where(truth == 1, 0, truth)  # the small one is missed
    prediction[:, 210:] = 0
    image = compare(truth, [CAR] * 3, prediction, [CAR] * 3)
    quality = quality_by_size([image], [CAR])
    assert quality == pytest.approx({"small": 0, "medium": 1, "large": 100 / 110})
    assert np.isnan(list(quality_by_size([image], [ROAD]).values())).all()
