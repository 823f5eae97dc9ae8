"""tools/evaluate.py: figures of files, and one line for what is wrong with them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hotcoco.panoptic import PanopticEval
from pycocotools import mask as mask_utils

from mmproscale.datasets.formats.panoptic_png import encode_png, read_png

REFERENCE = Path(__file__).resolve().parents[1] / "evaluation" / "reference"


@pytest.fixture
def pair(tmp_path) -> Path:
    """A copy of both sides that a test may spoil."""
    return Path(shutil.copytree(REFERENCE, tmp_path / "pair"))


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def evaluate(run_tool, pair):
    def run(*options):
        return run_tool("evaluate.py", pair / "gt.json", pair / "pred.json", *options)

    return run


def test_json(evaluate, pair):
    status, output, _ = evaluate("--json", "--per-image")
    assert status == 0
    report = json.loads(output)
    expected = json.loads((pair / "expected.json").read_text())
    for group in ("all", "things", "stuff"):
        for key in ("pq", "sq", "rq"):
            assert report[group][key] == pytest.approx(expected[group.capitalize()][key], abs=1e-6)
    for category_id in expected["totals"]:
        ours = report["per_class"][category_id]["pq"]
        assert ours == pytest.approx(expected["per_class"][category_id]["pq"], abs=1e-6)
    unseen = report["per_class"]["200"]
    assert [unseen[key] for key in ("pq", "sq", "rq", "tp", "fp", "fn")] == [0] * 6
    assert len(report["per_image"]) == report["images"] == expected["n_images"]
    assert "semantic" not in report and "instance" not in report


def test_table(evaluate, pair):
    (pair / "gt").rename(pair / "elsewhere")
    folders = "--gt-dir", pair / "elsewhere", "--pred-dir", pair / "pred"
    status, output, _ = evaluate(*folders, "--classwise", "--semantic")
    assert status == 0
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in output.splitlines()[3:-1]}
    expected = json.loads((pair / "expected.json").read_text())
    for group in ("All", "Things", "Stuff"):
        (row,) = [row for name, row in rows.items() if name.startswith(group)]
        assert float(row[0]) == pytest.approx(100 * expected[group]["pq"], abs=0.006)
    assert [cell.strip() for cell in rows["c200 (stuff)"][:4]] == ["-"] * 4
    assert "c200" not in evaluate(*folders)[1]


def test_ground_truth_against_itself(run_tool, pair):
    truth = pair / "gt.json"
    options = "--gt-dir", pair / "gt", "--pred-dir", pair / "gt", "--semantic", "--instances"
    status, output, _ = run_tool("evaluate.py", truth, truth, *options, "--json")
    assert status == 0
    report = json.loads(output)
    hotcoco = PanopticEval(str(truth), str(truth))
    hotcoco.evaluate()
    # Of several crowds of a class in an image, panopticapi forgives what lies on the last.
    assert 0.98 < report["all"]["pq"] < 1
    assert report["all"]["pq"] == pytest.approx(hotcoco.results()["All"]["pq"], abs=1e-9)
    assert report["all"]["sq"] == report["semantic"]["miou"] == 1
    assert report["instance"]["ap50"] == pytest.approx(1)


def test_detections_and_instances_of_files(evaluate, pair, tmp_path):
    truth = json.loads((pair / "gt.json").read_text())
    mask = np.zeros((96, 128), np.uint8, order="F")
    mask[:2, :2] = [[1, 1], [0, 1]]
    box = mask_utils.encode(mask)
    rle = box | {"counts": box["counts"].decode()}
    instances = {
        "images": [{"id": i["id"]} for i in truth["images"]],
        "categories": [c for c in truth["categories"] if c["isthing"]],
        "annotations": [
            dict(id=1, image_id=0, category_id=1, iscrowd=0, area=3, bbox=[0, 0, 2, 2])
            | {"segmentation": rle}
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    detections = [dict(image_id=0, category_id=1, score=0.5, segmentation=rle)]
    (tmp_path / "detections.json").write_text(json.dumps(detections))
    options = "--instances", tmp_path / "instances.json", "--ap-backend", "pycocotools"
    found = "--instance-results", tmp_path / "detections.json"
    assert json.loads(evaluate(*options, *found, "--json")[1])["instance"]["ap"] == pytest.approx(1)
    assert json.loads(evaluate(*options, "--json")[1])["instance"]["ap"] == 0
    assert "masks of things: AP 100.00" in evaluate(*options, *found)[1]
    assert "add --instances" in evaluate(*found)[2]
    detections[0]["category_id"] = 92
    (tmp_path / "detections.json").write_text(json.dumps(detections))
    assert "category_id is 92, which is not a thing of" in evaluate(*options, *found)[2]


def drop_prediction(pair):
    edit(pair / "pred.json", lambda c: c["annotations"].pop(0))


def repeat_prediction(pair):
    edit(pair / "pred.json", lambda c: c["annotations"].append(c["annotations"][0]))


def unknown_category(pair):
    edit(pair / "pred.json", lambda c: first(c).update(category_id=12345))


def not_in_the_png(pair):
    edit(
        pair / "pred.json",
        lambda c: c["annotations"][0]["segments_info"].append(first(c) | {"id": 4321}),
    )


def not_in_the_json(pair):
    edit(pair / "pred.json", lambda c: c["annotations"][0]["segments_info"].pop(0))


def first(content):
    return content["annotations"][0]["segments_info"][0]


def no_png(pair):
    (pair / "pred" / "003.png").unlink()


def other_size(pair):
    path = pair / "pred" / "001.png"
    path.write_bytes(encode_png(read_png(path)[1:]))


def no_folder(pair):
    (pair / "pred").rename(pair / "moved")


def no_json(pair):
    (pair / "pred.json").write_text("{")


def no_annotations(pair):
    (pair / "pred.json").write_text("[]")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (drop_prediction, ("pred.json has no prediction for image 0", "1 of ")),
        (repeat_prediction, ("pred.json", "annotations[20].image_id is 0, as is", "of one image")),
        (unknown_category, ("image 0 has category_id 12345", "gt.json")),
        (not_in_the_png, ("image 0, ", "000.png", "segment 4321", "not in the mask")),
        (not_in_the_json, ("000.png", "is in the PNG but not in segments_info")),
        (no_png, ("[png-missing]", "pred/003.png")),
        (other_size, ("image 1, ", "001.png", "ground truth is 96")),
        (no_folder, ("pred is not a folder",)),
        (no_json, ("pred.json", "not valid JSON")),
        (no_annotations, ("pred.json", "no list 'annotations'")),
    ],
)
def test_bad_files_are_one_line(evaluate, pair, spoil, says):
    spoil(pair)
    status, output, error = evaluate("--json")
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert status == 2 and output == "" and "Traceback" not in error
    for part in says:
        assert part in line
