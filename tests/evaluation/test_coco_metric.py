"""CocoMetric: the truth itself scores 1.0 with any ids, and without optional keys."""

import json

import numpy as np
import pytest
import torch
from helpers.malformations import put
from mmengine.registry import METRICS as PARENT

from mmproscale.datasets.checks.lenient_instances import read_leniently
from mmproscale.errors import InputError
from mmproscale.evaluation import CocoMetric
from mmproscale.evaluation.coco_metric import in_percent

CATEGORIES = [dict(id=4, name="cat"), dict(id=9, name="dog")]
BOXES = [[3, 3, 40, 40], [50, 3, 35, 40], [3, 50, 36, 44], [50, 50, 38, 40]]


def truth(images=2) -> dict:
    content = dict(images=[], annotations=[], categories=CATEGORIES)
    for image in range(images):
        content["images"].append(dict(id=image, file_name=f"{image}.jpg", height=96, width=96))
        for number, box in enumerate(BOXES):
            x, y, w, h = box
            outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            entry = dict(image_id=image, category_id=(4, 9)[number % 2], bbox=box, area=w * h)
            entry |= dict(id=len(content["annotations"]), iscrowd=0, segmentation=outline)
            content["annotations"].append(entry)
    return content


def score(tmp_path, content, metric="bbox"):
    """Return the figures of a metric whose detections are the truth."""
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    built = CocoMetric(str(path), metric)
    built.dataset_meta = dict(classes=[c["name"] for c in CATEGORIES])
    read, _ = read_leniently(content, "")
    labels = [c["id"] for c in CATEGORIES]
    for image in content["images"]:
        objects = [a for a in read["annotations"] if a["image_id"] == image["id"]]
        boxes = torch.tensor([a["bbox"] for a in objects], dtype=torch.float32)
        boxes[:, 2:] += boxes[:, :2]
        found = dict(
            bboxes=boxes,
            scores=torch.ones(len(objects)),
            labels=torch.tensor([labels.index(a["category_id"]) for a in objects]),
        )
        if metric == "segm":
            masks = np.zeros((len(objects), 96, 96), bool)
            for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
                mask[top:bottom, left:right] = True
            found["masks"] = torch.from_numpy(masks)
        sample = dict(img_id=image["id"], ori_shape=(96, 96), pred_instances=found)
        built.process({}, [sample])
    return built.evaluate(len(content["images"]))


def without(key):
    return lambda content: [a.pop(key) for a in content["annotations"]]


@pytest.mark.parametrize("metric", ["bbox", "segm"])
@pytest.mark.parametrize(
    "change",
    [
        lambda content: None,  # ids from 0
        without("id"),
        without("iscrowd"),
        without("area"),
        without("bbox"),
        lambda content: content["annotations"][0]["segmentation"].insert(0, [1, 2, 4, 4]),
        put("annotations", 0, "id", "a text"),
    ],
    ids=["id 0", "no id", "no iscrowd", "no area", "no bbox", "sliver", "text"],
)
def test_the_truth_scores_one(tmp_path, metric, change):
    content = truth()
    change(content)
    assert score(tmp_path, content, metric)[f"coco/{metric}_mAP"] == 100


def test_stocks_metric_is_wrong_with_an_id_0(tmp_path):
    """The reason for this class: pycocotools takes the object for unmatched."""
    from mmdet.evaluation import CocoMetric as Stock

    content = truth()
    assert issubclass(CocoMetric, Stock) and PARENT.get("mmproscale.CocoMetric") is CocoMetric
    (tmp_path / "truth.json").write_text(json.dumps(content))
    assert Stock(str(tmp_path / "truth.json"))._coco_api.anns.keys() == set(range(8))
    ours = CocoMetric(str(tmp_path / "truth.json"))._coco_api
    assert ours.anns.keys() == set(range(1, 9)) and ours.img_ann_map.keys() == {0, 1}


def test_nothing_to_score_is_said_before_the_first_image(tmp_path):
    path = tmp_path / "truth.json"
    for content in (truth() | dict(annotations=[]), dict(images=[], categories=CATEGORIES)):
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=r"truth\.json' has no object to score"):
            CocoMetric(str(path))


def test_masks_are_needed_for_the_ap_of_masks_only(tmp_path):
    content = truth()
    without("segmentation")(content)
    assert score(tmp_path, content)["coco/bbox_mAP"] == 100
    with pytest.raises(InputError, match=r"\[mask-missing\].*7 more of this kind"):
        CocoMetric(str(tmp_path / "truth.json"), ["bbox", "segm"])
    assert CocoMetric().metrics == ["bbox"]


def test_categories_can_be_sorted(tmp_path):
    content = truth() | dict(categories=CATEGORIES[::-1])
    (tmp_path / "truth.json").write_text(json.dumps(content))
    metric = CocoMetric(str(tmp_path / "truth.json"), sort_categories=True)
    assert metric._coco_api.get_cat_ids() == [4, 9]


def test_the_table_of_pycocotools_is_logged_in_percent(tmp_path, capsys):
    score(tmp_path, truth())
    assert "= 1.000" not in capsys.readouterr().out
    start = " Average Precision  (AP) @[ IoU=0.50:0.95 | area="
    printed = f"Evaluate annotation type *bbox*\n{start}   all ] = 0.021\n{start} large ] = -1.000"
    assert in_percent(printed).splitlines()[1:] == [
        "bbox:",
        f"{start.strip()}   all ] = 2.1",
        f"{start.strip()} large ] = -",
    ]
