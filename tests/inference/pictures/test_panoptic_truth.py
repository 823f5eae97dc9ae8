"""Ground truth next to predictions: found by file name, with the model's classes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.tiny_panoptic import CATEGORIES, write_tiny

from mmproscale.errors import InputError
from mmproscale.inference.pictures.panoptic_truth import PanopticTruth
from mmproscale.inference.results import Result

# The model's ids differ from the file's, and its order too.
OURS = [dict(entry, id=100 + n) for n, entry in enumerate(CATEGORIES[::-1])]


@pytest.fixture
def truth(tmp_path) -> PanopticTruth:
    write_tiny(tmp_path)
    return PanopticTruth(tmp_path / "panoptic.json", tmp_path / "pngs")


def result(name: str) -> Result:
    ids = np.ones((4, 6), np.int32)
    image = np.full((4, 6, 3), 128, np.uint8)
    return Result(image, name, f"elsewhere/{name}", OURS, panoptic=ids, segments=[])


def test_a_panel_has_the_files_segments_with_the_models_ids(truth, tmp_path):
    content = json.loads((tmp_path / "panoptic.json").read_text())
    names = {entry["id"]: entry["name"] for entry in CATEGORIES}
    ours = {entry["id"]: entry["name"] for entry in OURS}
    image, annotation = content["images"][0], content["annotations"][0]
    title, ids, segments = truth.panel(result(image["file_name"]))
    assert title == "ground truth" and {s["id"] for s in segments} <= {*np.unique(ids).tolist()}
    assert [ours[segment["category_id"]] for segment in segments] == [
        names[segment["category_id"]] for segment in annotation["segments_info"]
    ]
    assert truth.panel(result("other.png")) is None


def test_a_picture_has_one_more_panel(truth, tmp_path):
    name = json.loads((tmp_path / "panoptic.json").read_text())["images"][0]["file_name"]
    found = result(name)
    narrow, wide = (found.plot(truth=panel) for panel in (None, truth.panel(found)))
    assert wide.width > 1.4 * narrow.width and wide.height >= narrow.height


def test_unknown_classes_and_other_sizes_are_named(truth, tmp_path):
    name = json.loads((tmp_path / "panoptic.json").read_text())["images"][0]["file_name"]
    with pytest.raises(InputError, match="the model has no class"):
        truth.panel(replace(result(name), categories=[]))
    with pytest.raises(InputError, match="has another size than"):
        truth.panel(replace(result(name), image=np.zeros((8, 6, 3), np.uint8)))
