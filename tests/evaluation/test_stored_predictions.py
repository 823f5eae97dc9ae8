"""Predictions in files: found by image, and refused by name for a fault that affects figures."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.tiny_universal import SIZE, small_mask, text_rle, write_universal

from mmproscale.datasets.formats.panoptic_png import encode_png, read_png
from mmproscale.errors import InputError
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.stored_predictions import (
    PanopticResults,
    detections_by_image,
    score_results,
)

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture
def pair(tmp_path) -> Path:
    return Path(shutil.copytree(REFERENCE, tmp_path / "pair"))


@pytest.fixture(scope="module")
def clean() -> dict:
    return score(REFERENCE)


def score(pair: Path) -> dict:
    truth = PanopticGroundTruth(pair / "gt.json")
    return score_results(PanopticResults(pair / "pred.json", None, truth))


def edit(pair: Path, change) -> None:
    content = json.loads((pair / "pred.json").read_text())
    change(content, content["annotations"][0], content["annotations"][0]["segments_info"])
    (pair / "pred.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c, a, s: s.append({**s[0], "category_id": s[1]["category_id"]}), "id-twice"),
        (lambda c, a, s: c["annotations"].append([1]), r"\[20\] is \[1\], not an object"),
        (lambda c, a, s: c["annotations"].append(None), r"\[20\] is None, not an object"),
        (lambda c, a, s: a.update(image_id=[1]), "image-id-type"),
        (lambda c, a, s: a.update(image_id="0"), "image-id-other-type"),
        (lambda c, a, s: a.pop("image_id"), "image_id is missing"),
        (lambda c, a, s: a.update(segments_info=None), "segments-type"),
        (lambda c, a, s: s.append(7), "segments-type"),
        (lambda c, a, s: s[0].update(category_id=[1]), "category-id-type"),
        (lambda c, a, s: s[0].pop("category_id"), "category_id is missing"),
        (lambda c, a, s: s[0].update(id="7"), "segment-id-range"),
        (lambda c, a, s: s[0].update(score="high"), "score-value.*is 'high', not a finite"),
        (lambda c, a, s: s[0].update(score=float("nan")), "score-value"),
        (lambda c, a, s: a.update(file_name="../gt/000.png"), "path-leaves-folder"),
        (lambda c, a, s: a.update(file_name="/etc/hosts"), "path-absolute"),
    ],
)
def test_faults_of_the_json(pair, change, says):
    edit(pair, change)
    with pytest.raises(InputError, match=says) as error:
        score(pair)
    assert "pred.json" in str(error.value) and "check_dataset" not in str(error.value)


def test_what_no_figure_reads_may_be_anything(pair, clean):
    def strange(content, annotation, segments):
        content["annotations"].append({**annotation, "image_id": 999})
        annotation["file_name"] = None
        segments[0].update(area="many", bbox=None, iscrowd=1)

    edit(pair, strange)
    assert score(pair) == clean


def test_a_prediction_as_it_is_read(pair):
    edit(pair, lambda c, a, s: s[0].update(score=0.25))
    truth = PanopticGroundTruth(pair / "gt.json")
    results = PanopticResults(pair / "pred.json", None, truth)
    prediction = results.read(0, need_instances=True)
    ids = read_png(pair / "pred" / "000.png")
    labelled = prediction.maps["semantic"]
    assert prediction.shape == ids.shape and (labelled.values == ids).all()
    segments = json.loads((pair / "pred.json").read_text())["annotations"][0]["segments_info"]
    label = truth.label_of[segments[0]["category_id"]]
    assert labelled.labels_of(np.array([0, segments[0]["id"]])).tolist() == [-1, label]
    things = [s for s in segments if s["category_id"] in truth.thing_ids]
    found = prediction.detections
    assert [d["area"] for d in found] == [(ids == s["id"]).sum() for s in things]
    assert [d["score"] for d in found] == [0.25] + [1.0] * (len(things) - 1)
    assert results.read(0, need_instances=False).detections == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda png, bgr: cv2.imwrite(str(png), bgr[..., 2]), "png-greyscale"),
        (lambda png, bgr: cv2.imwrite(str(png), np.dstack([bgr, bgr[..., :1]])), "png-alpha"),
        (lambda png, bgr: cv2.imwrite(str(png), bgr.astype(np.uint16) * 256), "png-16-bit"),
        (lambda png, bgr: png.unlink(), "png-missing"),
        (lambda png, bgr: png.write_bytes(png.read_bytes()[:-30]), "predicted in .*000.png"),
    ],
)
def test_faults_of_a_png(pair, spoil, says):
    png = pair / "pred" / "000.png"
    spoil(png, cv2.imread(str(png)))
    with pytest.raises(InputError, match=says):
        score(pair)


def test_a_fault_of_the_ground_truth_is_its_own(pair):
    png = pair / "gt" / "000.png"
    ids = read_png(png)
    ids[0, 0] = 4242
    png.write_bytes(encode_png(ids))
    with pytest.raises(InputError, match=r"segment-not-in-json.*gt/000.png': segment 4242"):
        score(pair)


@pytest.fixture
def read_detections(tmp_path):
    truth = PanopticGroundTruth(write_universal(tmp_path, 2))

    def from_file(content):
        (tmp_path / "detections.json").write_text(json.dumps(content))
        return detections_by_image(tmp_path / "detections.json", truth)

    return from_file


def detection(**changes) -> dict:
    usual = dict(image_id=1, category_id=70, score=0.5, segmentation=text_rle(small_mask()))
    return usual | changes


def test_detections_of_an_image(read_detections):
    runs = {"size": list(SIZE), "counts": [0, SIZE[0], SIZE[0] * (SIZE[1] - 1)]}
    detections_of = read_detections([detection(), detection(score=1, segmentation=runs)])
    assert detections_of(0) == []
    first, second = detections_of(1)
    assert first["bbox"] == [3, 2, 6, 4] and first["area"] == 24
    assert second["bbox"] == [0, 0, 1, SIZE[0]] and second["score"] == 1.0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({}, "is not a list of COCO results"),
        ([detection(), 7], r"\[result-type\] .*: \[1\] is 7"),
        ([{"image_id": 1}], r"\[result-key-missing\] .*: \[0\].category_id is missing"),
        ([detection(image_id=9)], r"\[annotation-without-image\] .*: \[0\].image_id is 9"),
        ([detection(image_id="1")], r"\[image-id-other-type\]"),
        ([detection(image_id=[1])], r"\[image-id-type\]"),
        ([detection(category_id=21)], r"\[category-unknown\] .* is 21, which is not a thing of"),
        ([detection(category_id=[70])], r"\[category-unknown\]"),
        ([detection(score="high")], r"\[score-value\] .*: \[0\].score is 'high'"),
        ([detection(score=float("nan"))], r"\[score-value\]"),
        ([detection(segmentation=text_rle(small_mask(32, 24)))], r"\[rle-size\]"),
        ([detection(segmentation=text_rle(small_mask()) | {"counts": "~~~~"})], r"\[rle-counts\]"),
        ([detection(segmentation=text_rle(small_mask()) | {"counts": [1, 2]})], r"\[rle-counts\]"),
        ([detection(segmentation={})], r"\[mask-type\]"),
        ([detection(segmentation=[[1, 1, 5, 1, 5, 5]])], r"\[mask-type\]"),
    ],
)
def test_faults_of_detections(read_detections, content, says):
    with pytest.raises(InputError, match=says):
        read_detections(content)
