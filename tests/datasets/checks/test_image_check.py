"""Check of images: pixels are counted, and turns by Exif that no size shows are notes."""

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from mmproscale.datasets.checks.image_check import (
    ImageFindings,
    ImageTask,
    check_image,
    check_images,
)
from mmproscale.datasets.formats.panoptic_png import encode_png


@pytest.mark.parametrize(
    ("turn", "size", "noted"),
    [
        (1, (6, 4), False),
        (2, (6, 4), True),
        (3, (6, 4), True),
        (6, (4, 6), False),
        (6, (5, 5), True),
    ],
)
def test_a_turn_that_the_size_does_not_show_is_a_note(tmp_path, turn, size, noted):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    path = str(tmp_path / "0.jpg")
    Image.new("RGB", size).save(path, exif=exif)
    height, width = cv2.imread(path).shape[:2]
    faults = check_image(ImageTask(path, height, width)).faults
    assert [(fault.kind, fault.note) for fault in faults] == [("image-turned", True)] * noted
    assert all(f"has EXIF orientation {turn}" in fault.problem for fault in faults)


@pytest.fixture
def task(tmp_path) -> ImageTask:
    """Return an image of 4x6 whose PNG has a crowd (4 pixels) and a thing (8 pixels)."""
    ids = np.zeros((4, 6), np.int32)
    ids[:, 0], ids[:, 1:3] = 7, 70000
    (tmp_path / "0.png").write_bytes(encode_png(ids))
    cv2.imwrite(str(tmp_path / "0.jpg"), np.zeros((4, 6, 3), np.uint8))
    segments = (dict(id=7, iscrowd=1, area=4), dict(id=70000, bbox=[1, 0, 2, 4]))
    return ImageTask(str(tmp_path / "0.jpg"), 4, 6, str(tmp_path / "0.png"), segments)


def test_pixels_are_counted(task):
    assert check_image(task) == ImageFindings([], pixels=24, void=12, crowd=4)


def test_a_png_of_another_size_is_one_fault(task):
    with open(task.png_path, "wb") as file:
        file.write(encode_png(np.full((4, 7), 9)))
    assert [fault.kind for fault in check_image(task).faults] == ["png-size"]


def test_an_image_that_is_known_to_be_missing_is_left_out(task):
    assert not check_image(ImageTask(None, 4, 6, task.png_path, task.segments)).faults


def test_masks_are_compared_with_their_areas():
    mask = [[1, 1, 5, 1, 5, 3, 1, 3]]
    objects = (("annotations[2]", dict(segmentation=mask, area=99.0, bbox=[1, 1, 4, 2])),)
    task = ImageTask(None, 10, 10, ann_file="a.json", objects=objects)
    (fault,) = check_image(task).faults
    assert fault.kind == "instance-area" and fault.field == "annotations[2].area"


@pytest.mark.parametrize("workers", [1, 2])
def test_findings_come_in_the_order_of_the_tasks(tmp_path, workers):
    tasks = (ImageTask(str(tmp_path / f"{number}.jpg"), 4, 6) for number in range(20))
    found = list(check_images(tasks, workers))
    names = [fault.file.rpartition("/")[2] for one in found for fault in one.faults]
    assert names == [f"{number}.jpg" for number in range(20)]
