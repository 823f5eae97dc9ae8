"""Arrays of a file without a fault are sound; those of any file with a fault are not."""

import pytest
from helpers.malformations import IN_JSON, put, segment
from helpers.tiny_panoptic import write_json, write_tiny

from mmproscale.datasets.checks.column_faults import is_sound
from mmproscale.datasets.checks.panoptic_faults import panoptic_faults
from mmproscale.datasets.formats.panoptic_columns import read_panoptic_columns

# In COCO's own form, so that their values and not their types are what is wrong.
IN_VALUES = [
    ("annotation-without-image", put("annotations", 1, "image_id", 9)),
    ("path-leaves-folder", put("images", 0, "file_name", "a\\..\\..\\0.jpg")),
    ("path-absolute", put("images", 0, "file_name", "c:\\0.jpg")),
    ("path-type", put("images", 0, "file_name", " ")),
    ("path-type", put("annotations", 0, "file_name", "")),
    ("category-name-type", put("categories", 0, "name", " ")),
    ("category-color", put("categories", 0, "color", [1, 2, 256])),
    ("isthing-value", put("categories", 1, "isthing", 2)),
    ("segment-id-range", segment(0, "id", -1)),
    ("iscrowd-value", segment(0, "iscrowd", -1)),
    ("area-empty", segment(0, "area", -4)),
    ("image-size-value", put("images", 0, "height", -4)),
    ("box-outside", segment(0, "bbox", [0, -2, 1, 4])),
    ("box-outside", segment(0, "bbox", [0, 2, 1, 4])),
    ("box-outside", segment(0, "bbox", [2**31 - 1, 0, 2**31 - 1, 4])),
    ("box-empty", segment(0, "bbox", [0, 0, 1, 0])),
]


def columns_of(tmp_path):
    return read_panoptic_columns(str(tmp_path / "panoptic.json"))


def test_files_without_a_fault_are_sound(tmp_path):
    content = write_tiny(tmp_path, [[(1, 7, 0), (2**24 - 1, 3, 1)], [], [(1, 9, 0)]])
    assert is_sound(columns_of(tmp_path))
    content["images"].reverse()
    content["images"].append(dict(id=9, file_name="sub/9.jpg", height=4, width=6))
    content["annotations"][2]["segments_info"][0]["bbox"] = [-1, 0, 7, 5]  # a pixel outside
    write_json(tmp_path, content)
    assert not list(panoptic_faults(content, "")) and is_sound(columns_of(tmp_path))


@pytest.mark.parametrize(("kind", "change"), IN_JSON + IN_VALUES)
def test_files_with_a_fault_are_not(tmp_path, kind, change):
    content = write_tiny(tmp_path)
    change(content)
    write_json(tmp_path, content)
    columns = columns_of(tmp_path)
    assert columns is None or not is_sound(columns)


@pytest.mark.parametrize(("kind", "change"), IN_VALUES)
def test_their_values_are_what_is_wrong(tmp_path, kind, change):
    content = write_tiny(tmp_path)
    change(content)
    write_json(tmp_path, content)
    assert columns_of(tmp_path) is not None
    assert kind in {fault.kind for fault in panoptic_faults(content, "")}
