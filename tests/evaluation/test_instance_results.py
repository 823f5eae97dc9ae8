"""Detections in files: found by image, and refused by name where they can't be scored."""

import json

import numpy as np
import pytest
from helpers.tiny_universal import SIZE, write_universal
from pycocotools import mask as mask_utils

from mmproscale.errors import InputError
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.instance_results import detections_by_image


def rle(shape=SIZE) -> dict:
    mask = np.zeros(shape, np.uint8, order="F")
    mask[2:6, 3:9] = 1
    encoded = mask_utils.encode(mask)
    return encoded | {"counts": encoded["counts"].decode()}


@pytest.fixture
def read(tmp_path):
    truth = PanopticGroundTruth(write_universal(tmp_path, 2))

    def from_file(content):
        (tmp_path / "detections.json").write_text(json.dumps(content))
        return detections_by_image(tmp_path / "detections.json", truth)

    return from_file


def detection(**changes) -> dict:
    return dict(image_id=1, category_id=70, score=0.5, segmentation=rle()) | changes


def test_detections_of_an_image(read):
    runs = {"size": list(SIZE), "counts": [0, SIZE[0], SIZE[0] * (SIZE[1] - 1)]}
    detections_of = read([detection(), detection(score=1, segmentation=runs)])
    assert detections_of(0) == []
    first, second = detections_of(1)
    assert first["bbox"] == [3, 2, 6, 4] and first["area"] == 24
    assert second["bbox"] == [0, 0, 1, SIZE[0]] and second["score"] == 1.0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({}, "is no list of COCO results"),
        ([detection(), 7], r"\[result-type\] .*: \[1\] is 7"),
        ([{"image_id": 1}], r"\[result-key-missing\] .*: \[0\].category_id is missing"),
        ([detection(image_id=9)], r"\[annotation-without-image\] .*: \[0\].image_id is 9"),
        ([detection(image_id="1")], r"\[image-id-other-type\]"),
        ([detection(image_id=[1])], r"\[image-id-type\]"),
        ([detection(category_id=21)], r"\[category-unknown\] .* is 21, which is no thing of"),
        ([detection(category_id=[70])], r"\[category-unknown\]"),
        ([detection(score="high")], r"\[score-value\] .*: \[0\].score is 'high'"),
        ([detection(score=float("nan"))], r"\[score-value\]"),
        ([detection(segmentation=rle((32, 24)))], r"\[rle-size\]"),
        ([detection(segmentation=rle() | {"counts": "~~~~"})], r"\[rle-counts\]"),
        ([detection(segmentation=rle() | {"counts": [1, 2]})], r"\[rle-counts\]"),
        ([detection(segmentation={})], r"\[mask-type\]"),
        ([detection(segmentation=[[1, 1, 5, 1, 5, 5]])], r"\[mask-type\]"),
    ],
)
def test_faults(read, content, says):
    with pytest.raises(InputError, match=says):
        read(content)
