"""Layouts: splits by name, kinds of JSON, folders of maps, endings."""

import json
from pathlib import Path

import pytest

from mmproscale.errors import InputError
from mmproscale.own_data.layouts import (
    PairEndings,
    SplitFiles,
    coco_files,
    json_files,
    kind_of_json,
    map_folders,
    one_of_split,
    pair_endings,
    split_of,
)


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("annotations/panoptic_train2017.json", "train"),
        ("annotations/instances_val.json", "val"),
        ("valid/_annotations.coco.json", "val"),
        ("images/training", "train"),
        ("train/latest.json", "train"),
        ("image_info_test-dev2017.json", "test"),
        ("constrained/all.json", None),
    ],
)
def test_names_say_the_split(path, split):
    assert split_of(Path(path)) == split


def test_two_of_one_split_are_refused():
    root = Path("/data")
    paths = [root / "train_a.json", root / "train_b.json"]
    with pytest.raises(InputError, match=r"train_a\.json, train_b\.json; name one, --train-ann"):
        one_of_split(paths, "train", root, "--train-ann")


def test_a_single_file_without_a_split_is_for_training():
    root = Path("/data")
    assert one_of_split([root / "all.json"], "train", root, "") == root / "all.json"
    assert one_of_split([root / "all.json"], "val", root, "") is None


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (dict(segments_info=[]), "panoptic"),
        (dict(segmentation=[[1, 2, 3, 4, 5, 6]], bbox=[1, 2, 3, 4]), "instance"),
        (dict(segmentation=[1, 2, 3, 4, 5, 6]), "instance"),
        (dict(segmentation=dict(size=[4, 4], counts="1")), "instance"),
        (dict(segmentation=[[-0.5, 2, 3, 4, 5, 6]], keypoints=[1]), "instance"),
        (dict(segmentation=[], bbox=[1, 2, 3, 4]), "boxes"),
        (dict(segmentation=None, bbox=[1, 2, 3, 4]), "boxes"),
        (dict(segmentation=[[]], bbox=[1, 2, 3, 4]), "boxes"),
        (dict(bbox=[1, 2, 3, 4]), "boxes"),
        (dict(caption="a cow"), None),
    ],
)
def test_keys_of_a_json_decide_its_kind(tmp_path, annotation, kind):
    path = tmp_path / "file.json"
    content = dict(images=[], categories=[], annotations=[dict(image_id=1), annotation])
    path.write_text(json.dumps(content, indent=2))
    assert kind_of_json(path) == kind
    path.write_text(json.dumps(dict(images=[], annotations=[annotation])))
    assert kind_of_json(path) is None


def test_an_empty_or_missing_json_has_no_kind(tmp_path):
    (tmp_path / "empty.json").touch()
    assert kind_of_json(tmp_path / "empty.json") is kind_of_json(tmp_path / "none.json") is None


def test_maps_of_a_test_set_are_left_out(tmp_path):
    for split in ("train", "test"):
        touch(tmp_path / "images" / split / "1.jpg")
        touch(tmp_path / "labels" / split / "1.png")
    assert map_folders(tmp_path) == {tmp_path / "labels/train": tmp_path / "images/train"}


def test_endings_of_images_and_maps(tmp_path):
    files = SplitFiles(ann=tmp_path / "ann", img=tmp_path / "img")
    with pytest.raises(InputError, match="no image in"):
        pair_endings(files)
    touch(files.img / "a" / "1[2].jpg")
    with pytest.raises(InputError, match=r"has no map of "):
        pair_endings(files)
    touch(files.ann / "a" / "1[2]_map.tif")
    assert pair_endings(files) == PairEndings(".jpg", "_map.tif")
    touch(files.ann / "a" / "1[2].png")
    assert pair_endings(files) == PairEndings(".jpg", ".png")
    touch(files.img / "._b.jpeg")
    assert pair_endings(files) == PairEndings(".jpg", ".png")
    touch(files.img / "b.jpeg")
    with pytest.raises(InputError, match=r"end in \.jpeg, \.jpg"):
        pair_endings(files)


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.mark.parametrize("numbers", [range(1, 13), range(8, 120), [1, 11, 111]])
@pytest.mark.parametrize("end", ["_mask.png", ".png", "0.png", "_gt.tif"])
def test_one_ending_fits_all_images(tmp_path, numbers, end):
    files = SplitFiles(ann=tmp_path / "ann", img=tmp_path / "img")
    for number in numbers:
        touch(files.img / f"{number}.jpg")
        touch(files.ann / f"{number}{end}")
    assert pair_endings(files) == PairEndings(".jpg", end)


NUMBERS = range(1, 13)


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        ([f"{n}_mask.png" for n in NUMBERS[1:]], "NAME_mask.png of 11 of 12 images, but not '1_"),
        ([f"{n}_mask.{'PNG' if n == 5 else 'png'}" for n in NUMBERS], "'5_mask.png'; others end"),
        ([f"{n}{end}.png" for n in NUMBERS for end in "ab"], "several maps of each.*a.png, b"),
    ],
)
def test_maps_that_do_not_fit_are_named(tmp_path, maps, words):
    files = SplitFiles(ann=tmp_path / "ann", img=tmp_path / "img")
    for number in range(1, 13):
        touch(files.img / f"{number}.jpg")
    for name in maps:
        touch(files.ann / name)
    with pytest.raises(InputError, match=words):
        pair_endings(files)


def write_coco(path: Path, **more) -> Path:
    image = dict(id=1, file_name=more.pop("file_name", "a.jpg"), height=4, width=6)
    annotation = dict(id=1, image_id=1, category_id=1, segmentation=[[0, 0, 4, 0, 4, 4]], **more)
    content = dict(images=[image], annotations=[annotation], categories=[dict(id=1, name="cat")])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "keypoints", [dict(keypoints=[], num_keypoints=0), dict(keypoints=[1, 2, 2])]
)
def test_instances_with_keypoints_are_instances(tmp_path, keypoints):
    path = write_coco(tmp_path / "instances_train.json", **keypoints)
    assert json_files(tmp_path) == {"instance": [path]}
    write_coco(tmp_path / "person_keypoints_train.json", **keypoints)
    write_coco(tmp_path / "._instances_train.json")
    assert json_files(tmp_path) == {"instance": [path]}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("/data/upload/a.jpg", "path-absolute"), ("images\\a.jpg", "path-backslash")],
)
def test_names_have_the_message_of_the_check(tmp_path, name, kind):
    touch(tmp_path / "train/a.jpg")
    path = write_coco(tmp_path / "train.json", file_name=name)
    with pytest.raises(InputError, match=rf"\[{kind}\] .*images\[0\]\.file_name"):
        coco_files(path, tmp_path, "train", None, None, panoptic=False)
