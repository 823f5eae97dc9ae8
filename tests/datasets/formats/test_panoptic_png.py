"""Panoptic PNGs: ids that survive writing and reading, and segments of mmdet's map."""

import cv2
import numpy as np
import pytest
from mmdet.evaluation.functional import INSTANCE_OFFSET
from PIL import Image

from mmproscale.datasets.formats.panoptic_png import (
    MAX_ID,
    encode_png,
    labels_of,
    png_name,
    png_shape,
    read_png,
    read_png_or_fault,
    segments_of,
)
from mmproscale.errors import InputError

IDS = np.array([[0, 1, 255], [256, 65536, MAX_ID]], np.int32)
CATEGORIES = [dict(id=18, isthing=1), dict(id=7, isthing=0)]


def test_ids_survive_writing_and_reading(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(IDS))
    ids = read_png(path)
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, IDS)
    np.testing.assert_array_equal(np.asarray(Image.open(path)) @ [1, 256, 65536], IDS)
    assert png_shape(path) == (2, 3)


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        (np.zeros((2, 3), np.uint8), "png-greyscale"),
        (np.zeros((2, 3, 4), np.uint8), "png-alpha"),
        (np.zeros((2, 3, 3), np.uint16), "png-16-bit"),
    ],
)
def test_other_forms_than_8_bit_rgb_are_refused(tmp_path, pixels, kind):
    path = str(tmp_path / "a.png")
    cv2.imwrite(path, pixels)
    assert read_png_or_fault(path).kind == kind
    for read in (read_png, png_shape):
        with pytest.raises(InputError, match=rf"\A\[{kind}\] .*a\.png"):
            read(path)


@pytest.mark.parametrize("read", [read_png, png_shape])
def test_a_missing_png_is_named(tmp_path, read):
    with pytest.raises(InputError, match=r"\A\[png-missing\] .*a\.png"):
        read(tmp_path / "a.png")


def test_a_png_is_named_by_its_annotation_or_its_image():
    assert png_name(dict(file_name="city/a.jpg"), dict(file_name="b.png")) == "b.png"
    assert png_name(dict(file_name="city/a.jpg"), {}) == "city/a.png"


def test_mmdets_map_becomes_segments_from_1():
    second = INSTANCE_OFFSET  # label 0, instance 1
    sem_seg = np.array([[0, second, second], [1, 1, 2]])
    ids, segments = segments_of(sem_seg, CATEGORIES)
    assert ids.tolist() == [[1, 3, 3], [2, 2, 0]]
    common = dict(iscrowd=0)
    assert segments == [
        common | dict(id=1, label=0, category_id=18, isthing=1, area=1, bbox=[0, 0, 1, 1]),
        common | dict(id=2, label=1, category_id=7, isthing=0, area=2, bbox=[0, 1, 2, 1]),
        common | dict(id=3, label=0, category_id=18, isthing=1, area=2, bbox=[1, 0, 2, 1]),
    ]


def test_void_has_several_values_and_other_labels_are_refused():
    values = np.array([-1, 0, 2, 255, 1 + 3 * INSTANCE_OFFSET])
    assert labels_of(values, 2, ignore_index=255).tolist() == [-1, 0, -1, -1, 1]
    with pytest.raises(InputError, match="holds label 255 but the data has 2 classes"):
        labels_of(values, 2)
