"""Folders of label tools: new_config.py knows each and writes a config that trains a step."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.label_folders import FOLDERS, read, write_folders
from helpers.own_data import write_panoptic

from mmproscale.own_data.exports import commands
from mmproscale.utils.config import TOOLS, load_config

OPTIONS = ("--gpus", 0, "--memory", 3, "--workers", 1, "--no-measure")
QUICK = [
    *(f"{split}_dataloader.num_workers=0" for split in ("train", "val")),
    *(f"{split}_dataloader.persistent_workers=False" for split in ("train", "val")),
    *("train_cfg.max_iters=1", "train_cfg.val_interval=1", "param_scheduler.0.end=1"),
    *("default_hooks.checkpoint.interval=1", "default_hooks.logger.interval=1"),
]
KINDS = dict(
    labelme="panoptic",
    instances="instance",
    boxes="boxes",
    maps="semantic",
    yolo="instance",
    roboflow="instance",
)
METRICS = dict(
    panoptic="universal/PQ", instance="coco/segm_mAP", boxes="coco/bbox_mAP", semantic="mIoU"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Panoptic dataset of small images, so that a step of training is short."""
    return write_panoptic(tmp_path_factory.mktemp("shapes"), train=8, val=4, size=160)


@pytest.fixture(scope="module")
def root(source, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("folders")
    write_folders(source, root, count=4)
    return root


def base_of(kind: str) -> str:
    return "proscale_dino_r18" if kind == "boxes" else "proscale_m2f_r18"


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_becomes_a_config_that_trains(name, root, source, run_tool, tmp_path):
    kind, data, extra = KINDS[name], root / name, []
    pictures = read(source, "train", 4)[0]
    things = {n for picture in pictures for n, is_thing, _, _ in picture.segments if is_thing}
    status, _, error = run_tool("new_config.py", "--data", data)
    if name in ("labelme", "yolo"):
        assert f"from-{name}" in error and "add --convert OUT" in error
        extra = ["--convert", tmp_path / "coco"]
        extra += ["--things", *things] if name == "labelme" else []
    else:
        assert f"holds {kind} data: choose --base" in error and base_of(kind) in error
    assert status == 2
    base = ("--base", base_of(kind), "--out", "mine.py")
    status, out, error = run_tool("new_config.py", "--data", data, *base, *OPTIONS, *extra)
    assert status == 0, error
    config = load_config(tmp_path / "mine.py")
    assert things <= set(config.classes) and "streets" not in config.classes
    assert ("'streets' is left out" in out) == (name == "roboflow")
    train = ("--work-dir", "run", "--cfg-options", *QUICK)
    status, _, error = run_tool("train.py", "mine.py", *train)
    assert status == 0, error
    log = next((tmp_path / "run").glob("*/vis_data/scalars.json")).read_text().splitlines()
    assert METRICS[kind] in json.loads(log[-1])


POINTS = "4.00,4.00;40.50,4.00;40.50,30.25"
BOX = 'left="50" top="20" width="4" height="4"'


def cvat_export(root: Path, source: Path) -> Path:
    """Write 'CVAT for images 1.1' of a project with two subsets, a polygon and a mask an image."""
    images = ""
    for subset, split in (("Train", "train"), ("Validation", "val")):
        for number, picture in enumerate(read(source, split, 2)[0]):
            height, width = picture.size
            (root / "images" / subset).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture.path, root / "images" / subset / picture.path.name)
            size = f'width="{width}" height="{height}"'
            images += f"""
  <image id="{number}" name="{picture.path.name}" subset="{subset}" task_id="2" {size}>
    <polygon label="car" source="manual" occluded="0" points="{POINTS}" z_order="0">
      <attribute name="color">red</attribute>
    </polygon>
    <mask label="dog" source="semi-auto" occluded="0" rle="2, 6, 2, 6" {BOX} z_order="0">
    </mask>
  </image>"""
    labels = "".join(
        f"<label><name>{name}</name><type>any</type><attributes></attributes></label>"
        for name in ("dog", "car")
    )
    (root / "annotations.xml").write_text(
        f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><project><id>1</id><name>mine</name><labels>{labels}</labels></project></meta>{images}
</annotations>"""
    )
    return root


def label_studio_coco(root: Path, source: Path) -> Path:
    """Write Label Studio's COCO export of rectangles: result.json and images/, ids from 0."""
    content = dict(images=[], annotations=[], info=dict(contributor="Label Studio"))
    content["categories"] = [dict(id=0, name="car"), dict(id=1, name="dog")]
    (root / "images").mkdir(parents=True)
    for number, picture in enumerate(read(source, "train", 3)[0]):
        name = f"images/3ab1-{picture.path.name}"
        shutil.copyfile(picture.path, root / name)
        height, width = picture.size
        content["images"].append(dict(width=width, height=height, id=number, file_name=name))
        one = dict(id=number, image_id=number, category_id=number % 2, segmentation=[])
        one |= dict(bbox=[4.5, 4.0, 30.25, 20.0], ignore=0, iscrowd=0, area=605.0)
        content["annotations"].append(one)
    (root / "result.json").write_text(json.dumps(content, indent=2))
    return root


def label_studio_yolo(root: Path, source: Path) -> Path:
    """Write Label Studio's YOLO export: classes.txt, notes.json, images/ and labels/."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for picture in read(source, "train", 3)[0]:
        shutil.copyfile(picture.path, root / "images" / picture.path.name)
        rows = "1 0.25 0.3 0.2 0.19999999999999998\n0 0.5 0.5 0.25 0.1\n"
        (root / f"labels/{picture.path.stem}.txt").write_text(rows)
    (root / "classes.txt").write_text("car\ndog\n")
    categories = [dict(id=0, name="car"), dict(id=1, name="dog")]
    (root / "notes.json").write_text(json.dumps(dict(categories=categories, info={})))
    return root


@pytest.mark.parametrize(
    ("write", "kind", "classes", "options"),
    [
        (cvat_export, "instance", ("dog", "car"), ("--convert", "coco")),
        (label_studio_coco, "boxes", ("car", "dog"), ("--val-share", 0.3)),
        (
            label_studio_yolo,
            "boxes",
            ("car", "dog"),
            ("--convert", "coco", "--val-share", 0.3),
        ),
    ],
)
def test_exports_of_cvat_and_label_studio(
    write, kind, classes, options, source, run_tool, tmp_path
):
    data = write(tmp_path / "data", source)
    base = ("--base", base_of(kind), "--out", "mine.py")
    status, out, error = run_tool("new_config.py", "--data", data, *base, *OPTIONS, *options)
    assert status == 0, error
    assert kind in out
    assert tuple(load_config(tmp_path / "mine.py").classes) == classes
    train = ("--work-dir", "run", "--cfg-options", *QUICK)
    status, _, error = run_tool("train.py", "mine.py", *train)
    assert status == 0, error


def test_a_fault_of_the_export_stops_the_command(root, run_tool, tmp_path):
    shutil.copytree(root / "yolo", tmp_path / "yolo")
    label = min((tmp_path / "yolo/labels/train").iterdir())
    label.write_text(label.read_text() + "0 0.5 0.5 0.1 0.1\n")
    options = ("--base", "m2f_r18", "--out", "mine.py", *OPTIONS, "--convert", "coco")
    status, _, error = run_tool("new_config.py", "--data", "yolo", *options)
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert status == 2 and f"{label.name}', line " in line and "a box, but other rows are" in line
    assert not (tmp_path / "mine.py").exists() and not (tmp_path / "coco").exists()


def test_conversions_are_spelled_as_the_command_that_runs(monkeypatch):
    step = ["from_yolo.py", "my data", "--out", "OUT"]
    monkeypatch.setattr("sys.argv", ["mmproscale new-config"])
    assert commands([step, step]) == " && ".join(
        ["mmproscale datasets from-yolo 'my data' --out OUT"] * 2
    )
    monkeypatch.setattr("sys.argv", [str(TOOLS / "new_config.py")])
    assert commands([step]) == f"python {TOOLS}/datasets/from_yolo.py 'my data' --out OUT"


def test_a_box_that_differs_from_its_mask_names_the_repair(root, run_tool, tmp_path):
    shutil.copytree(root / "instances", tmp_path / "data")
    file = tmp_path / "data/annotations/instances_val.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["bbox"] = [1, 1, 2, 2]
    file.write_text(json.dumps(content))
    new = ("new_config.py", "--data", "data", "--base", "m2f_r18", *OPTIONS)
    status, _, error = run_tool(*new)
    assert status == 2 and "check-dataset --repair does" in error
    files = ("--ann", file, "--img", tmp_path / "data/val")
    status, _, error = run_tool("check_dataset.py", *files, "--repair", "mended.json")
    assert status == 0, error
    mended = ("--val-ann", "mended.json", "--val-img", "data/val")
    status, _, error = run_tool(*new, *mended)
    assert status == 0, error


def test_options_that_do_not_fit_the_data_are_refused(root, run_tool):
    new = ("new_config.py", "--base", "m2f_r18", "--gpus", 0, "--data")
    for name, options, fault in (
        ("boxes", ("--convert", "out"), "is no export of YOLO, CVAT or labelme"),
        ("boxes", ("--things", "a"), "add --convert OUT"),
        ("boxes", (), "--base m2f_r18 has no config for boxes data; there are dino_r18"),
        ("boxes", ("--base", "dino_r18", "--balance-classes"), "--balance-classes: a detector's"),
        ("yolo", ("--convert", "out", "--things", "a"), "all classes of YOLO are things"),
        ("labelme", ("--convert", "out"), "add --convert OUT --things LABEL ... (its labels are"),
    ):
        status, _, error = run_tool(*new, root / name, *options)
        assert status == 2 and fault in error.strip().splitlines()[-1]
