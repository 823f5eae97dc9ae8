"""Objects of COCO instances: entries of boxes, outlines and masks, and the faults of a file."""

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from mmproscale.datasets.conversion.instance_objects import (
    box_entry,
    mask_entry,
    numbered_faults,
)
from mmproscale.datasets.conversion.painting import polygons_to_rle

SIZE = (20, 30)


def test_a_box_is_cut_at_the_image():
    made = box_entry(3, (-5, 2.004, 10, 40), SIZE)
    assert made == dict(category_id=3, iscrowd=0, bbox=[0, 2, 10, 18], area=180)


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        ((30, 0, 40, 5), "outside the image"),
        ((0, -9, 9, 0), "outside the image"),
        ((4, 4, 4, 9), "of no area"),
        ((9, 4, 4, 9), "of no area"),
    ],
)
def test_boxes_without_an_area_say_why(corners, reason):
    assert box_entry(1, corners, SIZE) == reason


def test_an_outline_keeps_its_polygons():
    polygons = [[0, 0, 4, 0, 4, 3, 0, 3], [10, 10, 12, 10, 12, 12, 10, 12]]
    made = mask_entry(2, polygons_to_rle(polygons, *SIZE, "here"), polygons)
    assert (made["segmentation"], made["area"]) == (polygons, 12 + 4)
    assert made["bbox"] == [0, 0, 12, 12]
    flat = [[1, 1, 1, 1, 1, 1]]
    assert mask_entry(2, polygons_to_rle(flat, *SIZE, "here"), flat) == "of no area"


def test_a_mask_is_a_code_that_json_holds():
    mask = np.zeros(SIZE, np.uint8, order="F")
    mask[3:5, 7:10] = 1
    made = mask_entry(1, rle_tools.encode(mask))
    assert isinstance(made["segmentation"]["counts"], str) and made["bbox"] == [7, 3, 3, 2]
    assert np.array_equal(rle_tools.decode(made["segmentation"]), mask)


def test_boxes_are_numbered_and_need_no_mask():
    image = dict(id=1, file_name="a.jpg", height=20, width=30)
    entry = dict(image_id=1, **box_entry(1, (1, 1, 5, 5), SIZE))
    content = dict(images=[image], categories=[dict(id=1, name="a")], annotations=[entry, entry])
    assert numbered_faults(content, "x.json") == []
    assert [entry["id"] for entry in content["annotations"]] == [1, 2]
    content["annotations"] = []
    assert [fault.kind for fault in numbered_faults(content, "x.json")] == ["no-instance"]
