"""Search for data in a folder: kinds, splits, and one line that names the deciding option."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.own_data import write_panoptic, write_semantic

from mmproscale.errors import InputError
from mmproscale.own_data.data_search import SearchOptions, find_data


def touch(path: Path, content="") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def coco(images, **annotation) -> dict:
    entries = [dict(id=i, file_name=name, height=4, width=4) for i, name in enumerate(images)]
    annotations = [dict(id=i, image_id=i, category_id=1, **annotation) for i in range(len(images))]
    categories = [dict(id=1, name="a", isthing=1)]
    return dict(images=entries, annotations=annotations, categories=categories)


@pytest.fixture(scope="module")
def panoptic(tmp_path_factory) -> Path:
    return write_panoptic(tmp_path_factory.mktemp("panoptic"))


def test_panoptic(panoptic):
    found = find_data(panoptic, SearchOptions())
    assert found.kind == "panoptic"
    assert found.train.ann == panoptic / "annotations/panoptic_train.json"
    assert found.train.seg == panoptic / "annotations/panoptic_train"
    assert found.val.img == panoptic / "val"


def test_semantic(tmp_path):
    root = write_semantic(tmp_path / "mine")
    found = find_data(root, SearchOptions())
    assert (found.kind, found.train.ann) == ("semantic", root / "ann_dir/train")
    assert found.val.img == root / "img_dir/val"


@pytest.mark.parametrize(
    ("images", "maps"),
    [("images/training", "annotations/training"), ("train/images", "train/labels")],
)
def test_other_layouts_of_semantic_maps(tmp_path, images, maps):
    touch(tmp_path / images / "1.jpg")
    touch(tmp_path / maps / "1.png")
    found = find_data(tmp_path, SearchOptions())
    assert (found.kind, found.val) == ("semantic", None)
    assert (found.train.img, found.train.ann) == (tmp_path / images, tmp_path / maps)


def test_instances_next_to_their_images(tmp_path):
    for split in ("train", "valid", "test"):
        content = coco(["1.jpg"], segmentation=[[0, 0, 1, 0, 1, 1]])
        touch(tmp_path / split / "_annotations.coco.json", content)
        touch(tmp_path / split / "1.jpg")
    found = find_data(tmp_path, SearchOptions())
    assert (found.kind, found.train.img) == ("instance", tmp_path / "train")
    assert found.val.ann == tmp_path / "valid/_annotations.coco.json"


def test_captions_and_keypoints_are_ignored(tmp_path):
    touch(tmp_path / "images/1.jpg")
    touch(tmp_path / "captions_train.json", coco(["1.jpg"], caption="a cow"))
    touch(tmp_path / "keypoints_train.json", coco(["1.jpg"], segmentation=[], keypoints=[]))
    wanted = touch(
        tmp_path / "masks_train.json", coco(["1.jpg"], segmentation=[[0, 0, 1, 0, 1, 1]])
    )
    assert find_data(tmp_path, SearchOptions()).train.ann == wanted


def test_boxes_and_instances_as_boxes(tmp_path):
    touch(tmp_path / "images/1.jpg")
    masks = touch(tmp_path / "train.json", coco(["1.jpg"], segmentation=[[0, 0, 1, 0, 1, 1]]))
    boxes = touch(tmp_path / "val.json", coco(["1.jpg"], segmentation=[], bbox=[0, 0, 2, 2]))
    assert "instance (train.json); boxes (val.json)" in refused(tmp_path)
    found = find_data(tmp_path, SearchOptions(kind="boxes"))
    assert (found.kind, found.train.ann, found.val.ann) == ("boxes", masks, boxes)
    masks.unlink()
    assert find_data(tmp_path, SearchOptions(val_ann=Path("val.json"), train_ann=boxes)).kind == (
        "boxes"
    )


def test_an_export_of_a_label_tool_is_named_with_its_command(tmp_path):
    touch(tmp_path / "data.yaml", "train: images\nnames: [a]\n")
    message = refused(tmp_path)
    assert f"'{tmp_path}' is an export of YOLO: add --convert OUT, or run mmproscale " in message
    touch(tmp_path / "train.json", coco(["1.jpg"], bbox=[0, 0, 1, 1]))
    touch(tmp_path / "1.jpg")
    assert find_data(tmp_path, SearchOptions()).kind == "boxes"  # it was converted


def refused(root: Path, options: SearchOptions = SearchOptions()) -> str:  # noqa: B008
    with pytest.raises(InputError) as raised:
        find_data(root, options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_unknown_data_is_refused(tmp_path, panoptic):
    assert "is not a folder" in refused(tmp_path / "nowhere")
    assert "holds no known data" in refused(tmp_path)
    assert "holds nothing semantic" in refused(panoptic, SearchOptions(kind="semantic"))
    assert "--train-ann x.json does not exist" in refused(
        panoptic, SearchOptions(train_ann=Path("x.json"))
    )
    not_coco = touch(tmp_path / "other.json", "{}")
    assert "has no panoptic data, instances or boxes" in refused(
        tmp_path, SearchOptions(train_ann=not_coco)
    )


def test_several_kinds_ask_for_one(tmp_path, panoptic):
    root = tmp_path / "both"
    shutil.copytree(panoptic, root)
    write_semantic(root)
    message = refused(root)
    assert "panoptic (annotations/panoptic_train.json" in message
    assert "semantic (ann_dir/train" in message and message.endswith("choose with --kind")
    assert find_data(root, SearchOptions(kind="semantic")).kind == "semantic"


def test_several_files_of_one_split_ask_for_one(tmp_path):
    touch(tmp_path / "train/1.jpg")
    for name in ("train_a.json", "train_b.json"):
        touch(tmp_path / name, coco(["1.jpg"], segmentation=[[0, 0, 1, 0, 1, 1]]))
    assert "train_a.json, train_b.json; name one, --train-ann" in refused(tmp_path)
    options = SearchOptions(train_ann=Path("train_a.json"), val_ann=Path("train_b.json"))
    found = find_data(tmp_path, options)
    assert (found.train.ann.name, found.val.ann.name) == ("train_a.json", "train_b.json")


def test_folders_of_images_that_are_missing_or_several(tmp_path):
    touch(tmp_path / "train.json", coco(["1.jpg"], segmentation=[[0, 0, 1, 0, 1, 1]]))
    message = refused(tmp_path)
    assert "no folder in" in message and "'1.jpg'" in message and "--train-img" in message
    for folder in ("small", "large"):
        touch(tmp_path / folder / "1.jpg")
    assert "large, small; name one, --train-img" in refused(tmp_path)
    assert (
        find_data(tmp_path, SearchOptions(train_img=Path("large"))).train.img == tmp_path / "large"
    )
