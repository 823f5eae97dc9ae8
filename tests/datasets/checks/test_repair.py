"""Repair of annotation files: the copy is clean, and every change is said."""

import json

import numpy as np
import pytest
from helpers.malformations import drop, put, segment
from helpers.one_instance_image import BOX, WIDTH, build, check, tiny_instances
from helpers.tiny_panoptic import write_tiny

from mmproscale.datasets.checks.dataset_check import DatasetFiles, check_dataset
from mmproscale.datasets.checks.repair import repair_dataset
from mmproscale.errors import InputError

X, Y, W, H = BOX
MASK, SQUARE = "segmentation", [X, Y, X + W, Y, X + W, Y + H, X, Y + H]


def several(*changes):
    return lambda content: [change(content) for change in changes]


def annotation(*keys_and_value):
    return put("annotations", *keys_and_value)


def repair(root, change):
    """Write the changed file, and return the repaired content and the lines."""
    content = tiny_instances()
    change(content)
    check(root, content)
    files = DatasetFiles(str(root / "instances.json"), str(root), panoptic=False)
    lines = repair_dataset(files, root / "mended.json")
    assert (root / "instances.json").read_text() == json.dumps(content), "the original stays"
    mended = DatasetFiles(str(root / "mended.json"), str(root), panoptic=False)
    report = check_dataset(mended)
    assert report.clean, report.lines()
    assert not report.notes.keys() - {"image-without-annotation"}
    build(root, ann_file="mended.json")[0]
    return json.loads((root / "mended.json").read_text()), lines


@pytest.mark.parametrize(
    ("change", "place", "value", "part"),
    [
        (annotation(0, MASK, SQUARE), (MASK, 0, 0), X, "readers accept"),
        (annotation(0, "area", 9999), ("area",), W * H, "box and area"),
        (annotation(0, "bbox", [50, 20, 5, 5]), ("bbox",), BOX, "box and area"),
        (annotation(0, "bbox", [0, 0, float("nan"), 4]), ("bbox",), BOX, "box and area"),
        (drop("annotations", 0, "area"), ("area",), W * H, "readers accept"),
        (annotation(0, "category_id", "3"), ("category_id",), 3, "type of ids"),
        (annotation(0, "category_id", 3.0), ("category_id",), 3, "type of ids"),
        (annotation(0, "image_id", "5"), ("image_id",), 5, "image's type"),
        (annotation(0, "id", 0), ("id",), 1, "ids of annotations"),
        (annotation(1, "id", 1), ("id",), 1, "ids of annotations"),
        (drop("annotations", 0, "id"), ("id",), 1, "ids of annotations"),
    ],
)
def test_one_slip_of_an_object_is_mended(tmp_path, change, place, value, part):
    content, lines = repair(tmp_path, change)
    found = content["annotations"][0]
    for key in place:
        found = found[key]
    assert found == value and len(content["annotations"]) == 3
    assert len(lines) == 2 and part in lines[0] and "mended.json" in lines[1], lines


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        (put("images", 0, "file_name", "photos\\a.jpg"), "file_name", "a.jpg"),
        (put("images", 0, "file_name", "/data/upload/3/a.jpg"), "file_name", "a.jpg"),
        (put("images", 0, "file_name", "C:\\data\\a.jpg"), "file_name", "a.jpg"),
        (put("images", 0, "width", f"{WIDTH}"), "width", WIDTH),
        (put("images", 0, "width", float(WIDTH)), "width", WIDTH),
        (drop("images", 0, "width"), "width", WIDTH),
    ],
)
def test_one_slip_of_an_image_is_mended(tmp_path, change, key, value):
    content, lines = repair(tmp_path, change)
    assert content["images"][0][key] == value and len(lines) == 2


@pytest.mark.parametrize(
    "change",
    [
        annotation(0, MASK, [[1, 2, 3, 4]]),
        annotation(0, MASK, [[9000, 9000, 9001, 9000, 9001, 9001]]),
        annotation(0, MASK, [[-30, 10, -20, 10, -20, 30]]),
        annotation(0, "image_id", 77),
        annotation(0, "category_id", [3]),
    ],
)
def test_an_object_that_means_nothing_is_left_out_and_said(tmp_path, change):
    content, lines = repair(tmp_path, change)
    assert [a["id"] for a in content["annotations"]] == [2, 3]
    assert "left out" in lines[0] and "annotations[0]" in lines[0]


def test_names_lose_their_spaces_and_good_parts_stay(tmp_path):
    good = SQUARE
    change = several(
        put("categories", 0, "name", " car "), annotation(0, MASK, [good, [1, 2, 3], [1] * 7])
    )
    content, lines = repair(tmp_path, change)
    assert content["categories"][0]["name"] == "car"
    assert content["annotations"][0][MASK] == [good]
    assert len(lines) == 4


def test_boxes_without_masks_are_clipped(tmp_path):
    content = tiny_instances()
    boxes = [[-50, 5, 60, 9], [100, 5, 9, 9], [5, 5, 9, 9]]
    for entry, box in zip(content["annotations"], boxes, strict=True):
        entry |= {"bbox": box, MASK: []}
    check(tmp_path, content)
    files = DatasetFiles(str(tmp_path / "instances.json"), str(tmp_path), panoptic=False)
    repair_dataset(files, tmp_path / "mended.json")
    mended = json.loads((tmp_path / "mended.json").read_text())["annotations"]
    assert [a["bbox"] for a in mended] == [[0, 5, 10, 9], [5, 5, 9, 9]]
    assert [a["area"] for a in mended] == [90, 81]


@pytest.mark.parametrize(
    "change",
    [
        segment(0, "area", 99),
        segment(1, "bbox", [0, 0, 6, 4]),
        drop("annotations", 0, "segments_info", 0, "bbox"),
        put("annotations", 0, "image_id", "0"),
        put("images", 0, "file_name", "x\\0.jpg"),
        put("categories", 1, "isthing", 1.0),
    ],
)
def test_a_panoptic_file_is_measured_in_its_pngs(tmp_path, change):
    write_tiny(tmp_path)
    path = tmp_path / "panoptic.json"
    content = json.loads(path.read_text())
    whole = json.dumps(content)
    change(content)
    path.write_text(json.dumps(content))
    files = DatasetFiles(str(path), str(tmp_path / "images"), str(tmp_path / "pngs"))
    lines = repair_dataset(files, tmp_path / "mended.json")
    assert len(lines) == 2
    assert json.loads((tmp_path / "mended.json").read_text()) == json.loads(whole)


def test_a_png_that_no_file_can_be_is_left_to_the_check(tmp_path):
    write_tiny(tmp_path)
    path = tmp_path / "panoptic.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["file_name"] = "a\ud800.png"
    path.write_text(json.dumps(content))
    files = DatasetFiles(str(path), str(tmp_path / "images"), str(tmp_path / "pngs"))
    repair_dataset(files, tmp_path / "mended.json")
    mended = DatasetFiles(str(tmp_path / "mended.json"), files.img, files.seg)
    assert "path-type" in check_dataset(mended).faults


def test_boxes_beyond_a_float_are_left_to_the_check(tmp_path):
    content, _ = repair(tmp_path, annotation(0, "bbox", [10**400, 5, 9, 9]))
    assert content["annotations"][0]["bbox"] == tiny_instances()["annotations"][0]["bbox"]


def test_a_segment_without_pixels_is_left_out(tmp_path):
    write_tiny(tmp_path)
    path = tmp_path / "panoptic.json"
    content = json.loads(path.read_text())
    ghost = content["annotations"][0]["segments_info"][0] | dict(id=12345)
    content["annotations"][0]["segments_info"].append(ghost)
    path.write_text(json.dumps(content))
    files = DatasetFiles(str(path), str(tmp_path / "images"), str(tmp_path / "pngs"))
    assert "segments measured" in repair_dataset(files, tmp_path / "mended.json")[0]
    mended = DatasetFiles(str(tmp_path / "mended.json"), files.img, files.seg)
    assert check_dataset(files).faults and check_dataset(mended).clean


def test_a_file_that_exists_is_kept_and_a_sound_file_stays(tmp_path):
    content, lines = repair(tmp_path, lambda content: None)
    assert content == tiny_instances() and len(lines) == 1
    files = DatasetFiles(str(tmp_path / "instances.json"), str(tmp_path), panoptic=False)
    with pytest.raises(InputError, match=r"--repair .*mended\.json exists"):
        repair_dataset(files, tmp_path / "mended.json")
    assert np.isclose(content["annotations"][0]["area"], W * H)


def test_the_tool_repairs_and_checks_the_copy(tmp_path, run_tool):
    content = tiny_instances()
    content["annotations"][0]["bbox"] = [50, 20, 5, 5]
    check(tmp_path, content)
    options = ["--ann", tmp_path / "instances.json", "--img", tmp_path, "--workers", 1]
    assert run_tool("check_dataset.py", *options)[0] == 1
    status, out, _ = run_tool("check_dataset.py", *options, "--repair", tmp_path / "new.json")
    assert status == 0 and "box and area computed" in out and "new.json: clean" in out
    status, _, err = run_tool("check_dataset.py", "dino_r18_shapes", "--repair", "x.json")
    assert status == 2 and "--ann and --img instead of a config" in err
