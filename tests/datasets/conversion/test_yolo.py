"""YOLO's labels become COCO instances or boxes, whose values are computed by hand."""

import json

import pytest
from helpers.panoptic_files import picture

HEIGHT, WIDTH = 40, 60
POLYGON = "1 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5"
BOX = "0 0.5 0.5 0.2 0.5"


@pytest.fixture
def write(tmp_path):
    """Function that writes train and val, with the text of each label file by image."""

    def run(labels: dict[str, str]):
        root = tmp_path / "data"
        for name, text in labels.items():
            picture(root / f"images/{name}.jpg", HEIGHT, WIDTH)
            if text is not None:
                (root / f"labels/{name}.txt").parent.mkdir(parents=True, exist_ok=True)
                (root / f"labels/{name}.txt").write_text(text)
        text = "train: images/train\nval: images/val\nnames: [car, dog]\n"
        (root / "data.yaml").write_text(text)
        return root

    return run


def convert(run_tool, root, *options):
    return run_tool("datasets/from_yolo.py", root, "--workers", 1, *options)


def content(root, split="train"):
    return json.loads((root / f"annotations/instances_{split}.json").read_text())


def test_polygons_become_instances_next_to_their_description(write, run_tool):
    root = write({"train/7": f"{POLYGON}\n", "train/8": "", "val/9": f"{POLYGON}\n" * 2})
    status, out, error = convert(run_tool, root)
    assert status == 0, error
    assert "2 images, 1 instance, 2 things" in out and "1 shape drawn, none left" in out
    made = content(root)
    assert [(c["id"], c["name"]) for c in made["categories"]] == [(1, "car"), (2, "dog")]
    size = dict(height=HEIGHT, width=WIDTH)
    assert made["images"] == [
        dict(id=7, file_name="7.jpg", **size),
        dict(id=8, file_name="8.jpg", **size),
    ]
    outline = [6.0, 4.0, 30.0, 4.0, 30.0, 20.0, 6.0, 20.0]
    expected = dict(id=1, image_id=7, category_id=2, iscrowd=0, segmentation=[outline])
    assert made["annotations"] == [expected | dict(bbox=[6, 4, 24, 16], area=24 * 16)]
    assert len(content(root, "val")["annotations"]) == 2


def test_boxes_stay_boxes_without_masks(write, run_tool, tmp_path):
    rows = f"{BOX}\n1 0.95 0.5 0.2 1\n1 0.5 0.5 0 0.1\n"
    root = write({"train/a": rows, "val/a": BOX})
    status, out, error = convert(run_tool, root, "--out", tmp_path / "made", "--copy-images")
    assert status == 0, error
    assert "1 image, 2 boxes" in out and "1 left no pixel (1 of no area" in out
    assert "line 3" in out and "note" not in out
    first, second = content(tmp_path / "made")["annotations"]
    assert first["bbox"] == [24, 10, 12, 20] and first["area"] == 240
    assert second["bbox"] == [51, 0, 9, 40] and not {"segmentation"} & first.keys()
    assert (tmp_path / "made/train/a.jpg").is_file() and (tmp_path / "made/val/a.jpg").is_file()


def test_a_box_among_polygons_is_a_fault(write, run_tool):
    root = write({"train/a": POLYGON, "val/b": f"{POLYGON}\n{BOX}\n"})
    status, _, error = convert(run_tool, root)
    assert status == 2 and not (root / "annotations").exists()
    assert "labels/val/b.txt', line 2: a box, but other rows are polygons (" in error
    assert "labels/train/a.txt', line 1)" in error


def test_a_missing_label_file_is_a_fault_or_an_empty_image(write, run_tool):
    root = write({"train/a": POLYGON, "train/b": None, "train/c": None, "val/d": POLYGON})
    status, _, error = convert(run_tool, root)
    assert status == 2 and "train/b.jpg' has no label file '" in error
    assert "labels/train/b.txt': add it" in error and "for 2 faults" in error
    assert convert(run_tool, root, "--missing-is-empty")[0] == 0
    assert [image["file_name"] for image in content(root)["images"]] == ["a.jpg", "b.jpg", "c.jpg"]


def test_labels_lie_next_to_images_without_a_folder_of_that_name(write, run_tool):
    root = write({"train/a": BOX, "val/a": BOX})
    (root / "images").rename(root / "photos")
    text = "train: photos/train\nval: photos/val\nnames: [car, dog]\n"
    (root / "data.yaml").write_text(text)
    assert "photos/train/a.txt" in convert(run_tool, root)[2]
    for split in ("train", "val"):
        (root / f"labels/{split}/a.txt").rename(root / f"photos/{split}/a.txt")
    assert convert(run_tool, root)[0] == 0
    assert len(content(root)["annotations"]) == 1


def test_a_split_without_an_object_or_an_image_that_is_none(write, run_tool):
    root = write({"train/a": "", "val/b": ""})
    assert "[no-instance]" in convert(run_tool, root)[2]
    root = write({"train/a": BOX, "val/b": BOX})
    (root / "images/train/a.jpg").write_bytes(b"none")
    status, _, error = convert(run_tool, root)
    assert status == 2 and "[image-unreadable]" in error and "train/a.jpg" in error


def test_existing_files_are_kept(write, run_tool):
    root = write({"train/a": BOX, "val/b": BOX})
    assert convert(run_tool, root)[0] == 0
    assert "add --overwrite" in convert(run_tool, root)[2]
    assert convert(run_tool, root, "--overwrite", "--splits", "train")[0] == 0
