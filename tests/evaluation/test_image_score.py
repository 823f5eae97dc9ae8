"""Counts and instances of one image, from its prediction and its ground truth."""

import json

import numpy as np
import pytest
from helpers.tiny_universal import SIZE, THINGS, small_mask, text_rle, write_universal

from mmproscale.errors import InputError
from mmproscale.evaluation.ground_truth import InstanceGroundTruth, PanopticGroundTruth
from mmproscale.evaluation.image_score import (
    KINDS,
    ImagePrediction,
    ImageScorer,
    LabelledMap,
    predicted_segments,
)
from mmproscale.evaluation.panoptic_quality import count_pairs


@pytest.fixture
def truth(tmp_path) -> PanopticGroundTruth:
    return PanopticGroundTruth(write_universal(tmp_path, 2))


def perfect(truth: PanopticGroundTruth, image_id: int) -> ImagePrediction:
    """Return the ground truth itself, as a prediction without detections."""
    id_map, segments = truth.read(image_id, SIZE)
    labels = dict(zip(segments.ids.tolist(), segments.labels.tolist(), strict=True))
    labelled = LabelledMap(id_map, lambda ids: np.array([labels.get(i, -1) for i in ids.tolist()]))
    return ImagePrediction(SIZE, {"panoptic": labelled, "semantic": labelled})


def test_a_perfect_prediction(truth):
    score = ImageScorer(truth, KINDS).score(1, perfect(truth, 1))
    id_map, segments = truth.read(1, SIZE)
    of_class = np.bincount(segments.labels, minlength=5)
    expected = np.stack([of_class * 2**40, of_class, 0 * of_class, 0 * of_class], axis=1)
    assert score.counts["panoptic"].tolist() == expected.tolist()
    pixels = np.bincount(segments.labels, segments.areas, 5).astype(int).tolist()
    assert score.counts["semantic"].T.tolist() == [pixels] * 3
    assert sum(pixels) == (id_map > 0).sum()
    areas = segments.areas[segments.labels < 2].tolist()
    assert [instance["area"] for instance in score.instances.truths] == areas
    assert score.instances.size == SIZE and score.instances.detections == []


def test_ap_against_an_instances_file_needs_no_png(truth, tmp_path):
    mask = dict(segmentation=text_rle(small_mask()), area=24, bbox=[3, 2, 6, 4], iscrowd=0)
    annotation = dict(id=1, image_id=1, category_id=5, **mask)
    content = {"images": [{"id": 1}], "annotations": [annotation], "categories": THINGS}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    (tmp_path / "val" / "1.png").unlink()
    instances = InstanceGroundTruth(tmp_path / "instances.json", truth)
    score = ImageScorer(truth, ["instance"], instances).score(1, ImagePrediction(SIZE, {}))
    assert score.counts == {} and score.instances.truths == [annotation]


def test_another_size_is_refused(truth):
    with pytest.raises(InputError, match=r"prediction for 1\.jpg is 8x32 but"):
        ImageScorer(truth, KINDS).score(1, ImagePrediction((8, 32), {}))


def test_predicted_segments_leave_out_void():
    values = np.array([[7, 7, 9, 4]])
    labels = {7: 1, 9: -1, 4: 0}
    prediction = LabelledMap(values, lambda ids: np.array([labels[i] for i in ids.tolist()]))
    segments = predicted_segments(prediction, count_pairs(np.zeros_like(values), values))
    assert segments.ids.tolist() == [4, 7] and segments.labels.tolist() == [0, 1]
    assert segments.areas.tolist() == [1, 2] and not segments.crowds.any()
