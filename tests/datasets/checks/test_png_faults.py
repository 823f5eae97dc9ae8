"""PNG against JSON: damaged ids, and the segment of each pixel."""

import cv2
import numpy as np
import pytest

from mmproscale.datasets.checks.png_faults import map_segments, segment_faults
from mmproscale.datasets.formats.panoptic_png import read_png
from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes


def kinds(ids: np.ndarray, segments: list[dict]) -> set[str]:
    found = map_segments(ids, [segment["id"] for segment in segments])
    return {fault.kind for fault in segment_faults(ids, found, segments, "a.png")}


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """Return a PNG of Shapes as OpenCV reads it, (128, 128, 3) BGR, and its segments."""
    root = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(root, ShapesSpec(train=1, val=1))
    path = root / "annotations" / "panoptic_train" / "000000.png"
    return cv2.imread(str(path)), [dict(id=int(i)) for i in np.unique(read_png(path)) if i]


def damage_by_jpeg(bgr):
    return cv2.imdecode(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1], 1)


def damage_by_resizing(bgr):
    return cv2.resize(cv2.resize(bgr, (90, 90)), (128, 128))


@pytest.mark.parametrize("damage", [damage_by_jpeg, damage_by_resizing])
def test_resizing_and_loss_are_called_damage(truth, tmp_path, damage):
    bgr, segments = truth
    path = str(tmp_path / "a.png")
    cv2.imwrite(path, bgr)
    assert kinds(read_png(path), segments) == set()
    cv2.imwrite(path, damage(bgr))
    assert kinds(read_png(path), segments) == {"png-ids-damaged"}
    cv2.imwrite(path, cv2.resize(bgr, (64, 64), interpolation=cv2.INTER_NEAREST))
    assert kinds(read_png(path), segments) == set()


def test_every_pixel_has_its_segment():
    generator = np.random.default_rng(0)
    ids = generator.choice(np.array([0, 9, 3, 2**24 - 1, 256], np.int32), (50, 70))
    found = map_segments(ids, [256, 9, 77, 3])
    expected = np.full(ids.shape, 5)
    for value, index in ((0, 0), (256, 1), (9, 2), (3, 4)):
        expected[ids == value] = index
    np.testing.assert_array_equal(found.places, expected)
    np.testing.assert_array_equal(found.areas, np.bincount(expected.ravel(), minlength=6))
    assert kinds(ids, [dict(id=i) for i in (256, 9, 77, 3)]) == {
        "segment-not-in-png",
        "segment-not-in-json",
    }


def test_no_segments_and_no_pixels_of_any():
    assert kinds(np.zeros((3, 4), np.int32), []) == set()
    assert kinds(np.ones((3, 4), np.int32), []) == {"segment-not-in-json"}


@pytest.mark.parametrize(("shift", "sound"), [(0, True), (1, True), (-1, True), (2, False)])
def test_boxes_may_be_measured_in_either_way(shift, sound):
    ids = np.zeros((20, 30), np.int32)
    ids[4:9, 6:16] = 7
    faults = kinds(ids, [dict(id=7, area=50, bbox=[6, 4, 10 + shift, 5 + shift])])
    assert faults == (set() if sound else {"segment-box"})
