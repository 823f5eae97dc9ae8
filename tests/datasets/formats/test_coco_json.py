"""COCO's JSON files: reading them, and one line for a file that is not COCO."""

import json

import pytest

from mmproscale.datasets.formats.coco_json import list_faults, read_coco_json, read_json
from mmproscale.errors import InputError

SOUND = dict(images=[dict(id=1)], annotations=[], categories=[dict(id=3)])


def write(path, content) -> str:
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def test_content_is_read(tmp_path):
    assert read_coco_json(write(tmp_path / "a.json", SOUND)) == SOUND
    assert read_json(write(tmp_path / "b.json", ["ä"]), "--names") == ["ä"]


def test_annotations_may_be_absent_where_they_are_not_needed(tmp_path):
    path = write(tmp_path / "a.json", {k: v for k, v in SOUND.items() if k != "annotations"})
    assert read_coco_json(path, need_annotations=False) == SOUND
    with pytest.raises(InputError, match=r"\A\[not-coco\] .*'annotations' is missing"):
        read_coco_json(path)


def test_a_missing_file_names_what_to_check(tmp_path):
    with pytest.raises(InputError, match=r"\A\[json-missing\] .*b\.json.*check --names\Z"):
        read_json(tmp_path / "b.json", "--names")


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"{", "json-syntax"), (b"", "json-syntax"), ("['\xe4']".encode("latin-1"), "json-encoding")],
)
def test_a_broken_file_is_named(tmp_path, data, kind):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(InputError, match=rf"\A\[{kind}\] .*a\.json.*\Z"):
        read_json(tmp_path / "a.json", "ann_file")


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        (SOUND, []),
        ([], [""]),
        ({}, ["'images'", "'annotations'", "'categories'"]),
        (SOUND | dict(images={}), ["'images'"]),
        (SOUND | dict(annotations=[{}, 7, "x"]), ["annotations[1]", "annotations[2]"]),
    ],
)
def test_every_list_and_entry_is_checked(content, fields):
    faults = list(list_faults(content, "a.json"))
    assert [fault.field for fault in faults] == fields
    assert {fault.kind for fault in faults} <= {"not-coco"}
