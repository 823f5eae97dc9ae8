"""Instances that AP would quietly be lower for are refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_universal import SIZE, write_universal
from pycocotools import mask as mask_utils

from mmproscale.errors import InputError
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.instance_truth import InstanceGroundTruth

THINGS = [{"id": 5, "name": "car"}, {"id": 70, "name": "cow"}]
HEIGHT, WIDTH = SIZE


def rle(height=HEIGHT, width=WIDTH) -> dict:
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[2:6, 3:9] = 1
    encoded = mask_utils.encode(mask)
    return encoded | {"counts": encoded["counts"].decode()}


@pytest.fixture
def content() -> dict:
    entry = dict(image_id=0, category_id=5, iscrowd=0, area=24, bbox=[3, 2, 6, 4])
    polygon = [[3, 2, 9, 2, 9, 6, 3, 6]]
    masks = [rle(), polygon]
    return {
        "images": [{"id": n} for n in range(2)],
        "annotations": [{**entry, "id": n, "segmentation": m} for n, m in enumerate(masks)],
        "categories": THINGS,
    }


@pytest.fixture
def read(tmp_path):
    truth = PanopticGroundTruth(write_universal(tmp_path, 2))

    def from_file(content):
        path: Path = tmp_path / "instances.json"
        path.write_text(json.dumps(content))
        return InstanceGroundTruth(path, truth)

    return from_file


def test_instances_by_image(read, content):
    content["categories"] = [*THINGS, {"id": 9, "name": "road"}]
    content["annotations"].append({**content["annotations"][0], "id": 9, "category_id": 9})
    for annotation in content["annotations"]:
        annotation["bbox"] = None  # AP of masks reads none
    instances = read(content)
    assert [a["id"] for a in instances.of_image(0)] == [0, 1] and instances.of_image(1) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a.pop("segmentation"), "mask-missing"),
        (lambda a: a.update(segmentation=[]), "mask-missing"),
        (lambda a: a.update(segmentation=rle(WIDTH, HEIGHT)), "rle-size"),
        (lambda a: a["segmentation"].update(counts="~~~~"), "rle-counts"),
        (lambda a: a["segmentation"].update(counts=rle()["counts"][:-1]), "rle-counts"),
        (lambda a: a.update(segmentation=[[1, 2, float("nan"), 4, 5, 6]]), "polygon-not-finite"),
        (lambda a: a.update(area=float("nan")), "area-value"),
        (lambda a: a.update(image_id=3), "annotation-without-image"),
        (lambda a: a.update(category_id=6), "category-unknown"),
        (lambda a: a.update(iscrowd=2), "iscrowd-value"),
    ],
)
def test_faults(read, content, change, says):
    change(content["annotations"][0])
    with pytest.raises(InputError, match=rf"\[{says}\] .*instances.json': annotations\[0\]"):
        read(content)
