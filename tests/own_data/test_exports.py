"""Exports of label tools are recognised, and their commands name files, splits and classes."""

import json
from pathlib import Path

import pytest

from mmproscale.errors import InputError
from mmproscale.own_data.exports import commands, find_export

XML = '<annotations><image name="a.jpg" width="4" height="4" {}/></annotations>'
OUT = Path("out")


def touch(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def labelme(path: Path, label: str) -> None:
    shapes = [dict(label=label, points=[[0, 0], [4, 0], [4, 4]])]
    touch(path, json.dumps(dict(shapes=shapes, imagePath="a.jpg", imageHeight=4, imageWidth=4)))
    touch(path.with_name("a.jpg"))


def steps(root: Path, things=None) -> str:
    export = find_export(root)
    assert export is not None
    return commands(export.steps(OUT, things)).replace(str(root), "DATA")


def test_other_folders_are_no_exports(tmp_path):
    touch(tmp_path / "a.jpg"), touch(tmp_path / "b.json", "{}")
    touch(tmp_path / "voc.xml", "<annotation></annotation>")
    touch(tmp_path / "conf.yaml", "names: [a]"), touch(tmp_path / "classes.txt", "a")
    assert find_export(tmp_path) is None


@pytest.mark.parametrize("folder", ["", "export"])
def test_yolo(tmp_path, folder):
    touch(tmp_path / folder / "data.yaml", "train: images\nnames: [a]\n")
    place = f"DATA/{folder}".rstrip("/")
    expected = f"mmproscale datasets from-yolo {place} --out out --copy-images"
    assert steps(tmp_path) == expected
    with pytest.raises(InputError, match="all classes of YOLO are things"):
        steps(tmp_path, ["a"])


def test_several_datasets_of_yolo_ask_for_one(tmp_path):
    for folder in ("a", "b"):
        touch(tmp_path / folder / "data.yaml", "train: images\nnames: [a]\n")
    with pytest.raises(InputError, match=r"several folders have files of YOLO: .*a, .*b; name one"):
        find_export(tmp_path)


def test_cvat_by_files(tmp_path):
    touch(tmp_path / "train/annotations.xml", XML.format(""))
    one = "mmproscale datasets from-cvat DATA/{0}/annotations.xml --split {0}"
    end = " --out out --copy-images"
    assert steps(tmp_path) == one.format("train") + end
    touch(tmp_path / "val/annotations.xml", XML.format(""))
    assert steps(tmp_path) == " && ".join(one.format(split) + end for split in ("train", "val"))


@pytest.mark.parametrize(
    ("subsets", "options"),
    [
        (["default"], ["--split train"]),
        (["Train", "Test"], ["--split train --subset Train"]),
        (["Validation", "Train"], ["train --subset Train", "val --subset Validation"]),
    ],
)
def test_cvat_by_subsets(tmp_path, subsets, options):
    images = "".join(
        f'<image name="{name}.jpg" subset="{name}" width="4" height="4"/>' for name in subsets
    )
    touch(tmp_path / "annotations.xml", f"<annotations>{images}</annotations>")
    found = steps(tmp_path).split(" && ")
    assert len(found) == len(options)
    assert all(wanted in step for wanted, step in zip(options, found, strict=True))


def test_labelme_has_the_labels_of_all_splits(tmp_path):
    labelme(tmp_path / "train/a.json", "car"), labelme(tmp_path / "val/a.json", "road")
    first, second = steps(tmp_path, ["car"]).split(" && ")
    assert "from-labelme DATA/train --split train --things car --labels-from DATA" in first
    assert "from-labelme DATA/val --split val --things car --labels-from DATA" in second
    message = find_export(tmp_path).how_to_convert()
    assert "is an export of labelme: add --convert OUT --things LABEL ..." in message
    assert "its labels are 'car', 'road'" in message
    with pytest.raises(InputError, match="add --convert OUT --things LABEL"):
        steps(tmp_path)


def test_labelme_without_splits(tmp_path):
    labelme(tmp_path / "monday/a.json", "car"), labelme(tmp_path / "tuesday/a.json", "car")
    assert "from-labelme DATA --split train" in steps(tmp_path, [])
