"""Faults of what all COCO files share: one kind for each broken value, with its place."""

import math

import pytest

from mmproscale.datasets.checks.annotation_faults import (
    RepeatedValues,
    area_faults,
    box_faults,
    category_reference_faults,
    crowd_faults,
    first_by_id,
    image_list_faults,
    image_reference_faults,
    missing_keys,
    path_faults,
)

IMAGE = dict(id=1, file_name="a.jpg", height=4, width=6)


def kinds(faults) -> list[str]:
    return [fault.kind for fault in faults]


def test_each_missing_key_is_a_fault():
    faults = list(missing_keys(dict(a=0), ("a", "b", "c"), "key-missing", "x.json", "images[2]"))
    assert [fault.field for fault in faults] == ["images[2].b", "images[2].c"]


def test_a_repeated_value_names_its_first_place():
    ids = RepeatedValues("id-twice", "images have one id", note=True)
    assert not list(ids.faults(7, "x.json", "images[0].id"))
    assert not list(ids.faults(8, "x.json", "images[1].id"))
    (fault,) = ids.faults(7, "x.json", "images[2].id")
    assert fault.note and "is 7, as is images[0].id: two images have one id" in fault.problem


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (dict(), []),
        (dict(id="aachen_0"), []),
        (dict(id=1.0), ["image-id-type"]),
        (dict(file_name=""), ["path-type"]),
        (dict(height=True, width=-6), ["image-size-value"] * 2),
    ],
)
def test_entries_of_images(change, expected):
    assert kinds(image_list_faults([IMAGE | change], "x.json")) == expected


def test_images_with_one_id():
    assert kinds(image_list_faults([IMAGE, IMAGE], "x.json")) == ["image-id-twice"]


def test_the_first_entry_of_an_id_counts():
    entries = [dict(id=1, n=0), dict(id=1, n=1), dict(id="1"), dict(id=[1]), dict()]
    assert first_by_id(entries) == {1: dict(id=1, n=0), "1": dict(id="1")}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, []),
        ("aachen", []),
        ("1", ["image-id-other-type"]),
        (2, ["annotation-without-image"]),
        ("berlin", ["annotation-without-image"]),
        (None, ["image-id-type"]),
    ],
)
def test_references_to_images(value, expected):
    assert kinds(image_reference_faults(value, {1: 0, "aachen": 0}, "x.json", "f")) == expected


@pytest.mark.parametrize(("value", "kind"), [("3", "category-id-type"), (4, "category-unknown")])
def test_references_to_categories(value, kind):
    assert not list(category_reference_faults(3, {3: 0}, "x.json", "f", lambda: "segment 1"))
    (fault,) = category_reference_faults(value, {3: 0}, "x.json", "f", lambda: "segment 1")
    assert fault.kind == kind and ("segment 1" in fault.problem) == (kind == "category-unknown")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("city/a.jpg", []),
        ("a/../b.jpg", []),
        (None, ["path-type"]),
        ("a\0.jpg", ["path-type"]),
        ("a\ud800.jpg", ["path-type"]),
        ("/etc/a.jpg", ["path-absolute"]),
        ("C:\\a.jpg", ["path-absolute"]),
        ("a/../../b.jpg", ["path-leaves-folder"]),
        ("..\\b.jpg", ["path-leaves-folder"]),
    ],
)
def test_file_names(name, expected):
    assert kinds(path_faults(name, "x.json", "f")) == expected


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([0, 0, 6, 4], []),
        ([-1, -1, 7, 5], []),  # to within a pixel
        ([0, 0, 1], ["box-type"]),
        ([0, 0, True, 4], ["box-type"]),
        ([0, 0, math.nan, 4], ["box-not-finite"]),
        ([5, 3, -2, 1], ["box-inverted"]),
        ([0, 0, 0.5, 4], ["box-empty"]),
        ([4, 0, 4, 4], ["box-outside"]),
    ],
)
def test_boxes_in_an_image_of_6_by_4(box, expected):
    assert kinds(box_faults(box, 6, 4, "x.json", "f")) == expected


def test_empty_objects_may_be_notes():
    for faults in (box_faults([0, 0, 0, 4], 6, 4, "x", "f", True), area_faults(0, "x", "f", True)):
        assert [fault.note for fault in faults] == [True]


@pytest.mark.parametrize(
    ("area", "expected"),
    [
        (4.5, []),
        (0, ["area-empty"]),
        ("4", ["area-value"]),
        (math.inf, ["area-value"]),
        (10**400, ["area-value"]),
    ],
)
def test_areas(area, expected):
    assert kinds(area_faults(area, "x.json", "f")) == expected


@pytest.mark.parametrize(
    ("entry", "count"), [({}, 0), (dict(iscrowd=1), 0), (dict(iscrowd=2), 1), (dict(iscrowd=[]), 1)]
)
def test_crowds(entry, count):
    assert kinds(crowd_faults(entry, "x.json", "annotations[0]")) == ["iscrowd-value"] * count
