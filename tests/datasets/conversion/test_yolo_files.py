"""Descriptions of YOLO's datasets: every form, places of images, and faults by file and key."""

from pathlib import Path

import pytest

from mmproscale.datasets.conversion.yolo_files import describing_file, read_yolo
from mmproscale.errors import InputError

NAMES = "names: [car, dog]\n"


def touch(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def listed(data) -> dict[str, list[str]]:
    return {split: [path.name for path in paths] for split, paths in data.images.items()}


def test_ultralytics(tmp_path):
    touch(tmp_path / "images/train/b.jpg"), touch(tmp_path / "images/train/a/c.png")
    touch(tmp_path / "images/train/notes.txt"), touch(tmp_path / "images/train/._d.jpg")
    touch(tmp_path / "images/test/t.jpg"), touch(tmp_path / "other/o.jpg")
    text = "path: /elsewhere/mine\ntrain: [images/train, other]\nval: list.txt\ntest: images/test\n"
    file = touch(tmp_path / "mine.yaml", text + "names: {0: car, 1: dog}\nnc: 2\n")
    touch(tmp_path / "list.txt", "./images/test/t.jpg\n\n")
    data = read_yolo(tmp_path)
    assert (data.path, data.names) == (file, ("car", "dog"))
    assert listed(data) == {"train": ["c.png", "b.jpg", "o.jpg"], "val": ["t.jpg"]}
    assert listed(read_yolo(file, ["test"])) == {"test": ["t.jpg"]}


def test_roboflows_paths_begin_above_their_folder(tmp_path):
    touch(tmp_path / "train/images/a.jpg"), touch(tmp_path / "valid/images/b.jpg")
    touch(tmp_path / "data.yaml", f"train: ../train/images\nval: ../valid/images\n{NAMES}")
    assert listed(read_yolo(tmp_path)) == {"train": ["a.jpg"], "val": ["b.jpg"]}


def test_darknets_files_as_cvat_writes_them(tmp_path):
    touch(tmp_path / "obj_train_data/a.jpg"), touch(tmp_path / "obj.names", "car\ndog\n")
    touch(tmp_path / "train.txt", "data/obj_train_data/a.jpg\n")
    text = "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n"
    touch(tmp_path / "obj.data", text)
    data = read_yolo(tmp_path)
    assert data.names == ("car", "dog") and listed(data) == {"train": ["a.jpg"]}


def test_label_studios_classes(tmp_path):
    touch(tmp_path / "images/a.jpg"), touch(tmp_path / "classes.txt", "car\ndog\n")
    assert describing_file(tmp_path) is None  # also the names of semantic maps
    touch(tmp_path / "labels/a.txt")
    data = read_yolo(tmp_path)
    assert data.names == ("car", "dog") and listed(data) == {"train": ["a.jpg"]}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (NAMES, "lacks 'names' or 'train'"),
        ("train: images\nnames: [car, 1]\n", "'names' is not a list of names"),
        ("train: images\nnames: {0: car, 2: dog}\n", "'names' is not a list of names"),
        (f"train: images\nnc: 3\n{NAMES}", "nc is 3, but 'names' has 2"),
        (f"train: photos\n{NAMES}", "train: 'photos' does not exist"),
        (f"train: images\nval: nowhere\n{NAMES}", "val: 'nowhere' does not exist"),
        (f"train: images\nkpt_shape: [17, 3]\n{NAMES}", "describes keypoints"),
        (f"train: empty\n{NAMES}", "no image in"),
        (f"train: list.txt\n{NAMES}", "list.txt': 'missing.jpg' does not exist"),
        ("train: [", "is not YAML"),
    ],
)
def test_faults_of_a_description(tmp_path, text, fault):
    touch(tmp_path / "images/a.jpg"), touch(tmp_path / "empty/a.txt")
    touch(tmp_path / "list.txt", "missing.jpg\n")
    with pytest.raises(InputError) as raised:
        read_yolo(touch(tmp_path / "data.yaml", text))
    assert fault in str(raised.value)


def test_several_descriptions_or_none(tmp_path):
    with pytest.raises(InputError, match="name the file that describes"):
        read_yolo(tmp_path)
    for name in ("a.yaml", "b.yml"):
        touch(tmp_path / name, f"train: images\n{NAMES}")
    with pytest.raises(InputError, match=r"describe a YOLO dataset: a\.yaml, b\.yml"):
        describing_file(tmp_path)


def test_a_broken_data_yaml_is_named(tmp_path):
    touch(tmp_path / "data.yaml", "train: [")
    assert describing_file(tmp_path) == tmp_path / "data.yaml"
    with pytest.raises(InputError, match=r"lacks 'names' or 'train': give Darknet"):
        read_yolo(touch(tmp_path / "obj.data", "classes = 1\n"))
