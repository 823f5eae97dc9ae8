"""Predictions in files that contradict themselves are refused by name; what is not read may be."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmproscale.datasets.formats.panoptic_png import encode_png, read_png
from mmproscale.errors import InputError
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.panoptic_results import PanopticResults, score_results

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
        (lambda c, a, s: s[0].update(score="high"), "score-value.*is 'high', no finite"),
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
