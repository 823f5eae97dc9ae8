"""Results of one image: what they hold, how they are drawn, written and handed on."""

import json

import cv2
import numpy as np
import pytest

from mmproscale.datasets.formats.panoptic_png import read_png
from mmproscale.datasets.formats.rle import encode_mask
from mmproscale.errors import InputError
from mmproscale.inference.results import Instances, Result, Segment

CATEGORIES = [{"id": 10, "name": "disc", "isthing": 1}, {"id": 50, "name": "sand", "isthing": 0}]
LABELS = np.repeat([[0, 1]], 60, axis=0).repeat(45, axis=1)
EMPTY = np.zeros_like(LABELS, bool)


def instances(*masks: np.ndarray, scores: tuple[float, ...]) -> Instances:
    boxes = [[0, 0, 45, 60] if mask.any() else [0, 0, 0, 0] for mask in masks]
    return Instances(
        np.zeros(len(masks), np.int64),
        ["disc"] * len(masks),
        np.array(scores, np.float32),
        np.array(boxes, np.float32).reshape(-1, 4),
        [10] * len(masks),
        [encode_mask(mask) for mask in masks],
    )


def result(**fields) -> Result:
    return Result(np.full((60, 90, 3), 128, np.uint8), "photo", None, CATEGORIES, **fields)


def panoptic() -> Result:
    segments = [
        Segment(1, 0, "disc", True, 0.9, 2700, (0, 0, 45, 60), 10),
        Segment(2, 1, "sand", False, None, 2700, (45, 0, 90, 60), 50),
    ]
    return result(panoptic=(LABELS + 1).astype(np.int32), segments=segments)


def test_the_text_says_what_is_in_it():
    assert repr(panoptic()) == "Result(photo: 90x60, 2 segments (1 disc, 1 sand))"
    both = result(instances=instances(LABELS == 0, scores=(0.5,)), semantic=LABELS)
    assert repr(both) == (
        "Result(photo: 90x60, Instances(1 with masks: 1 disc), semantic map of 2 classes)"
    )


def test_empty_masks_and_low_scores_are_dropped_and_the_highest_comes_first():
    found = instances(LABELS == 0, EMPTY, LABELS == 0, LABELS == 0, scores=(0.5, 0.9, 0.2, 0.7))
    kept = result(instances=found).above(0.4).instances
    assert kept.scores.tolist() == pytest.approx([0.7, 0.5])
    assert kept.masks.shape == (2, 60, 90) and kept.masks.all(0)[:, :45].all()


def test_files_of_all_kinds(tmp_path):
    found = instances(LABELS == 0, scores=(0.5,))
    one = panoptic()
    whole = Result(one.image, "photo", None, CATEGORIES, one.panoptic, one.segments, found, LABELS)
    files = whole.save(tmp_path / "out")
    assert [file.name for file in files] == [
        "photo.jpg",
        "photo.panoptic.png",
        "photo.semantic.png",
        "photo.json",
    ]
    assert (read_png(files[1]) == LABELS + 1).all()
    semantic = cv2.imread(str(files[2]), cv2.IMREAD_UNCHANGED)
    assert (semantic == np.array([10, 50])[LABELS]).all()
    content = json.loads(files[3].read_text())
    assert [s["score"] for s in content["panoptic"]["segments_info"] if "score" in s] == [0.9]
    assert content["panoptic"]["file_name"] == files[1].name
    assert content["instance"][0]["area"] == 2700


def test_pictures_of_each_kind():
    pixels = {}
    found = instances(LABELS == 0, scores=(0.5,))
    for kind, one in {
        "panoptic": panoptic(),
        "semantic": result(semantic=LABELS),
        "instance": result(instances=found),
    }.items():
        pixels[kind] = np.asarray(one.plot())
        assert min(pixels[kind].shape[:2]) >= 480
        with pytest.raises(InputError, match="photo has no boxes result"):
            one.plot("boxes")
    hidden = np.asarray(result(instances=found).plot(least_score=0.6))
    assert not np.array_equal(pixels["instance"], hidden)


def test_an_instance_that_others_cover_is_not_in_the_picture():
    found = instances(LABELS == 0, LABELS == 0, scores=(0.5, 0.9))
    _, ids, segments = result(instances=found).panel("instance")
    assert [segment["score"] for segment in segments] == pytest.approx([0.9])
    assert np.unique(ids).tolist() == [0, segments[0]["id"]]


def test_segments_become_detections_of_supervision():
    supervision = pytest.importorskip("supervision")
    found = panoptic().to_supervision()
    assert isinstance(found, supervision.Detections) and len(found) == 2
    assert found.mask.sum((1, 2)).tolist() == [2700, 2700]
    assert found.data["class_name"].tolist() == ["disc", "sand"]


def test_a_semantic_result_has_no_objects():
    with pytest.raises(InputError, match="photo has neither segments nor objects"):
        result(semantic=LABELS).to_coco()
