"""Each kind of malformed dataset: found by name, and refused by name where training reads it."""

import pytest
from helpers.malformations import IN_FILES, IN_JSON, JSON
from helpers.tiny_panoptic import build, write_json, write_tiny
from PIL import ExifTags, Image

from mmproscale.datasets.checks.dataset_check import DatasetFiles, check_dataset
from mmproscale.datasets.checks.dataset_report import DatasetReport
from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes
from mmproscale.errors import InputError


def check(root, **options) -> DatasetReport:
    files = DatasetFiles(str(root / JSON), str(root / "images"), str(root / "pngs"))
    return check_dataset(files, **options)


def found_and_refused(root, kind: str, file: str) -> None:
    """The check has a fault of this kind that names the file; so has the training path."""
    report = check(root)
    assert kind in report.faults, report.lines()
    assert any(file in fault.file for fault in report.faults[kind].first)
    assert all("\n" not in str(fault) for found in report.faults.values() for fault in found.first)
    with pytest.raises(InputError, match=rf"\A\[{kind}\] .*\Z") as caught:
        dataset = build(root)
        for index in range(len(dataset)):
            dataset[index]
    assert file in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "change"), IN_JSON, ids=[f"{i}-{kind}" for i, (kind, _) in enumerate(IN_JSON)]
)
def test_what_the_json_tells(tmp_path, kind, change):
    content = write_tiny(tmp_path)
    change(content)
    write_json(tmp_path, content)
    found_and_refused(tmp_path, kind, JSON)


@pytest.mark.parametrize(
    ("kind", "file", "change"), IN_FILES, ids=[f"{i}-{c[0]}" for i, c in enumerate(IN_FILES)]
)
def test_what_the_files_tell(tmp_path, kind, file, change):
    write_tiny(tmp_path)
    change(tmp_path)
    found_and_refused(tmp_path, kind, file)


def test_one_broken_thing_gives_one_fault(tmp_path):
    """A fault in a value hides no other and brings no other of another kind."""
    for place, (kind, change) in enumerate(IN_JSON):
        if kind.startswith(("box-", "area-", "iscrowd-", "category-unknown")):
            root = tmp_path / str(place)
            content = write_tiny(root)
            change(content)
            write_json(root, content)
            assert {k: f.count for k, f in check(root).faults.items()} == {kind: 1}
    for place, (kind, _, change) in enumerate(IN_FILES):
        root = tmp_path / f"files_{place}"
        write_tiny(root)
        change(root)
        assert list(check(root).faults) == [kind]


def test_a_valid_dataset_is_clean_and_counted(tmp_path):
    write_tiny(tmp_path, [[(1, 7, 0), (70000, 3, 1)], [(5, 9, 0)], []])
    report = check(tmp_path, workers=2)
    assert report.clean and list(report.notes) == ["stuff-first", "image-without-segments"]
    counts = report.counts
    assert counts["images"] == 3 and counts["segments"] == 3 and counts["crowd_segments"] == 1
    assert counts["segments_by_class"] == dict(grass=1, cow=1, sky=1)
    assert counts["images_without_things"] == 2
    assert counts["image_sizes"] == {"distinct": 1, "6x4": 3}
    assert counts["crowd_share"] == pytest.approx(4 / 72)
    assert counts["void_share"] == pytest.approx(60 / 72)


def test_notes_stop_nobody(tmp_path):
    content = write_tiny(tmp_path, [[(1, 7, 0)], [(2, 3, 0)], [(3, 3, 0)]])
    del content["annotations"][2]
    content["images"][1]["file_name"] = content["images"][0]["file_name"]
    content["categories"][2]["name"] = "GRASS"
    write_json(tmp_path, content)
    report = check(tmp_path)
    names = ("stuff-first", "image-named-twice", "image-without-annotation")
    assert report.clean and set(report.notes) == {*names, "names-differ-in-case"}
    assert report.counts["classes_that_never_occur"] == ["GRASS"]
    assert len(build(tmp_path)) == 2


def test_stuff_in_parts_is_a_note_and_things_are_counted(tmp_path):
    write_tiny(tmp_path, [[(1, 7, 0), (2, 7, 0), (3, 3, 0), (4, 3, 0), (5, 9, 0)], [(1, 7, 0)]])
    report = check(tmp_path)
    assert report.clean and report.notes["stuff-in-parts"].count == 1
    note = str(report.notes["stuff-in-parts"].first[0])
    assert "annotations[0].segments_info[1].category_id is of stuff class 7" in note
    assert len(build(tmp_path)) == 2


def save_turned(path, size: tuple[int, int], turn: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    Image.new("RGB", size).save(path, exif=exif)


@pytest.mark.parametrize(("turn", "size"), [(3, (6, 4)), (2, (6, 4)), (1, (6, 4)), (6, (4, 6))])
def test_a_turn_that_the_size_does_not_tell_is_a_note(tmp_path, turn, size):
    write_tiny(tmp_path)
    save_turned(tmp_path / "images" / "0.jpg", size, turn)
    report = check(tmp_path)
    assert report.clean and ("image-turned" in report.notes) == (turn in (2, 3))
    build(tmp_path)[0]
    if turn == 3:
        assert "0.jpg' (image) has EXIF orientation 3" in str(report.notes["image-turned"].first[0])


def test_only_so_many_of_a_kind_are_kept_but_all_are_counted(tmp_path):
    content = write_tiny(tmp_path, [[(1, 7, 0)]] * 6)
    for annotation in content["annotations"]:
        annotation["segments_info"][0]["area"] = 3
    write_json(tmp_path, content)
    (tmp_path / "images" / "5.jpg").unlink()
    report = check(tmp_path, limit=2, workers=2)
    area = report.faults["segment-area"]
    assert area.count == 6 and ["truth_0" in f.file for f in area.first] == [True, False]
    assert "    ... and 4 more" in report.lines()
    with pytest.raises(InputError, match=r"\A\[image-missing\] [^;]*\Z"):
        build(tmp_path)


def test_the_refusal_tells_how_many_more_there_are(tmp_path):
    content = write_tiny(tmp_path)
    for segment in content["annotations"][0]["segments_info"]:
        segment["category_id"] = 42
    content["annotations"][1]["segments_info"][0]["area"] = None
    write_json(tmp_path, content)
    with pytest.raises(InputError, match="1 more of this kind; 1 other fault, see tools/check"):
        build(tmp_path)


def test_progress_counts_every_image(tmp_path):
    write_tiny(tmp_path, [[(1, 7, 0)]] * 3)
    seen = []
    check(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


COCO = ("coco_panoptic_sample", "panoptic_examples.json", "images", "panoptic_val2017")
CAMVID = ("camvid", "annotations/panoptic_val.json", "val", "annotations/panoptic_val")


@pytest.mark.parametrize(("folder", "ann", "img", "seg"), [COCO, CAMVID])
def test_real_datasets_are_clean(shared, folder, ann, img, seg):
    root = shared / "data" / folder
    report = check_dataset(DatasetFiles(str(root / ann), str(root / img), str(root / seg)))
    assert report.clean, report.lines()
    assert ("stuff-first" in report.notes) == (folder == "camvid")


def test_shapes_is_clean(tmp_path):
    make_shapes(tmp_path / "shapes", ShapesSpec(train=6, val=2, size=64))
    ann = tmp_path / "shapes" / "annotations" / "panoptic_train"
    report = check_dataset(
        DatasetFiles(f"{ann}.json", str(tmp_path / "shapes" / "train"), str(ann))
    )
    assert report.clean and report.counts["images"] == 6
