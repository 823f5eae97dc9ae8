"""A panoptic JSON as arrays has the file's values; files of another form are left to `json`."""

import json

import numpy as np
import pytest
from helpers.tiny_panoptic import write_json, write_tiny

from mmproscale.datasets.formats.panoptic_columns import read_panoptic_columns


@pytest.fixture
def content(tmp_path):
    return write_tiny(tmp_path, [[(1, 7, 0), (70000, 3, 1)], [], [(5, 9, 0)]])


def read(tmp_path):
    return read_panoptic_columns(str(tmp_path / "panoptic.json"))


def test_columns_have_the_files_values(tmp_path, content):
    content["images"][1]["file_name"] = "a folder/größer 写真.jpg"
    content["images"][2] |= dict(width=70000, date_captured="2013-11-14 16:28:13", license=None)
    content["annotations"][2]["segments_info"][0]["area"] = 2**31 - 1
    del content["annotations"][2]["segments_info"][0]["iscrowd"]
    write_json(tmp_path, content)
    columns = read(tmp_path)
    assert columns.categories == content["categories"]
    assert columns.image_ids.tolist() == columns.annotated_ids.tolist() == [0, 1, 2]
    assert list(columns.image_names) == [image["file_name"] for image in content["images"]]
    assert [columns.png_names[i] for i in range(3)] == [f"truth_{i}.png" for i in range(3)]
    assert columns.sizes.tolist() == [[4, 6], [4, 6], [4, 70000]]
    assert columns.ends.tolist() == [0, 2, 2, 3]
    assert columns.segment_ids.tolist() == [1, 70000, 5]
    assert columns.segment_categories.tolist() == [7, 3, 9]
    assert columns.areas.tolist() == [4, 4, 2**31 - 1]
    assert columns.boxes.tolist() == [[0, 0, 1, 4], [1, 0, 1, 4], [0, 0, 1, 4]]
    assert columns.crowds.tolist() == [0, 1, 0]


def test_numbers_take_as_few_bytes_as_they_need(tmp_path, content):
    columns = read(tmp_path)
    assert columns.boxes.dtype == columns.crowds.dtype == np.uint8
    assert columns.segment_ids.dtype == np.uint32


def test_layout_of_the_text_does_not_matter(tmp_path, content):
    expected = read(tmp_path)
    backwards = {key: content[key] for key in reversed(content)}
    (tmp_path / "panoptic.json").write_text(json.dumps(backwards, indent=2) + "\n")
    found = read(tmp_path)
    assert found.segment_ids.tolist() == expected.segment_ids.tolist()
    assert found.categories == expected.categories


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ("image", "id", "zero"),
        ("image", "id", 2**63),
        ("image", "file_name", None),
        ("image", "height", 4.0),
        ("annotation", "file_name", None),
        ("segment", "bbox", [0, 0, 1.5, 4]),
        ("segment", "bbox", [0, 0, None, 4]),
        ("segment", "bbox", [0, 0, 1]),
        ("segment", "area", 2**31),
        ("segment", "iscrowd", True),
        ("category", "isthing", True),
        ("category", "color", "red"),
    ],
)
def test_another_form_is_not_read(tmp_path, content, place, key, value):
    annotation = content["annotations"][0]
    places = dict(image=content["images"][0], annotation=annotation)
    places |= dict(segment=annotation["segments_info"][0], category=content["categories"][0])
    assert read(tmp_path) is not None
    places[place][key] = value
    write_json(tmp_path, content)
    assert read(tmp_path) is None


@pytest.mark.parametrize(
    "text", [b"", b"{broken", b"[]", b"7", b'{"images": []}', b"{}\n{}", b'{"a": "\xe4"}']
)
def test_text_that_is_no_panoptic_json_is_not_read(tmp_path, text):
    (tmp_path / "panoptic.json").write_bytes(text)
    assert read(tmp_path) is None


def test_missing_file_is_not_read(tmp_path):
    assert read(tmp_path) is None
