"""Faults and notes of panoptic JSON files: texts that name the image, segment and class."""

import pytest
from helpers.tiny_panoptic import build, write_json, write_tiny

from mmproscale.datasets.checks.panoptic_faults import panoptic_faults, panoptic_notes
from mmproscale.errors import InputError


def put_instances(content):
    content["annotations"] = [dict(image_id=0, segmentation=[], category_id=3)]


def put_unknown_category(content):
    content["annotations"][0]["segments_info"][1]["category_id"] = 42


def put_other_image(content):
    content["annotations"][1]["image_id"] = 77


def put_one_image_twice(content):
    content["annotations"][1]["image_id"] = 0


def put_segment_id(content):
    content["annotations"][1]["segments_info"][0]["id"] = 2**24


def drop_segments_info(content):
    del content["annotations"][0]["segments_info"]


def drop_all_segments(content):
    for annotation in content["annotations"]:
        annotation["segments_info"] = []


@pytest.mark.parametrize(
    ("spoil", "kind", "parts"),
    [
        (put_instances, "instances-not-panoptic", ("COCO instances, not panoptic",)),
        (put_unknown_category, "category-unknown", ("70000 of '0.jpg'", "category_id 42")),
        (put_other_image, "annotation-without-image", ("annotations[1].image_id", "77")),
        (put_one_image_twice, "annotations-of-one-image", ("two annotations", "is 0")),
        (put_segment_id, "segment-id-range", ("16777216", "use 1 to 16777215")),
        (drop_segments_info, "annotation-key-missing", ("segments_info", "of image 0")),
        (drop_all_segments, "no-segment", ("no object", "2 images")),
    ],
)
def test_one_fault_names_its_place(tmp_path, spoil, kind, parts):
    content = write_tiny(tmp_path)
    assert not list(panoptic_faults(content, "a.json"))
    spoil(content)
    (fault,) = panoptic_faults(content, "a.json")
    assert fault.kind == kind and all(part in str(fault) for part in ("'a.json'", *parts))


def test_a_test_set_needs_no_annotations(tmp_path):
    content = write_tiny(tmp_path) | dict(annotations=[])
    assert not list(panoptic_faults(content, "a.json", need_annotations=False))


def notes_of(content) -> dict[str, str]:
    assert not list(panoptic_faults(content, "a.json"))
    notes = list(panoptic_notes(content, "a.json"))
    assert all(note.note for note in notes)
    found = {note.kind: str(note) for note in notes}
    assert len(found) == len(notes)
    return found


def test_notes_on_images_and_names(tmp_path):
    content = write_tiny(tmp_path, [[(1, 7, 0)], [(2, 3, 0)], [(3, 3, 0)], []])
    del content["annotations"][2]
    content["images"][1]["file_name"] = content["images"][0]["file_name"]
    content["categories"][2]["name"] = "GRASS"
    notes = notes_of(content)
    assert set(notes) == {
        "stuff-first",
        "image-named-twice",
        "image-without-annotation",
        "image-without-segments",
        "names-differ-in-case",
    }
    assert "images[2] ('2.jpg') has no annotation" in notes["image-without-annotation"]
    assert "images[3] ('3.jpg') has no segment" in notes["image-without-segments"]
    assert "categories[2].name is 'GRASS'" in notes["names-differ-in-case"]


def test_stuff_in_parts_is_a_note_and_things_are_counted(tmp_path):
    segments = [[(1, 7, 0), (2, 7, 0), (3, 3, 0), (4, 3, 0), (5, 9, 0)], [(1, 7, 0)]]
    notes = notes_of(write_tiny(tmp_path, segments))
    assert set(notes) == {"stuff-first", "stuff-in-parts"}
    text = "annotations[0].segments_info[1].category_id is of stuff class 7"
    assert text in notes["stuff-in-parts"]


def test_things_first_has_no_note(tmp_path):
    content = write_tiny(tmp_path)
    content["categories"].sort(key=lambda category: -category["isthing"])
    assert notes_of(content) == {}


@pytest.mark.parametrize("fast", [True, False])
def test_crowds_and_nothing_else_are_refused(tmp_path, fast):
    content = write_tiny(tmp_path, [[(1, 3, 1), (2, 3, 1)], [(5, 3, 1)]])
    if not fast:  # a fraction keeps the file from being read as arrays
        content["annotations"][0]["segments_info"][0]["area"] = 4.2
        write_json(tmp_path, content)
    with pytest.raises(InputError, match=r"\[no-segment\] .*are 3 crowds .* nothing else"):
        build(tmp_path)
    kinds = [fault.kind for fault in panoptic_faults(content, "a.json")]
    assert kinds == ["no-segment"]
    assert [note.kind for note in panoptic_notes(content, "a.json")][-1] == "crowds"
