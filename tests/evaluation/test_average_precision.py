"""Mask AP against pycocotools, on random masks with crowds."""

import json

import numpy as np
import pytest
from helpers.tiny_universal import THINGS, predicted, text_rle, write_universal
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmproscale.errors import InputError
from mmproscale.evaluation import UniversalSegMetric

IMAGES = 12
FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def instances_of_panoptic(metric: UniversalSegMetric) -> dict:
    """Return the panoptic annotation's things as COCO's instances."""
    annotations = []
    for number, annotation in metric.truth.annotations.items():
        id_map, _ = metric.truth.read(number, (24, 32))
        for segment in annotation["segments_info"]:
            if segment["category_id"] in (5, 70):
                place = {"id": len(annotations) + 1, "image_id": number}
                mask = {"segmentation": text_rle(id_map == segment["id"])}
                annotations.append({**segment, **place, **mask})
    images = [dict(id=n, height=24, width=32) for n in metric.truth.images]
    return {"images": images, "annotations": annotations, "categories": THINGS}


def by_pycocotools(content: dict, path) -> dict[str, float]:
    """AP of all predictions, the published way."""
    path.write_text(json.dumps(content))
    truth = COCO(str(path))
    detections = []
    for image in content["images"]:
        instances = predicted(image["id"])["pred_instances"]
        for label, score, mask in zip(*(instances[k].numpy() for k in instances), strict=True):
            detection = {"image_id": image["id"], "category_id": (5, 70)[label]}
            detections.append(detection | {"score": float(score), "segmentation": text_rle(mask)})
    evaluation = COCOeval(truth, truth.loadRes(detections), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return dict(zip(FIGURES, evaluation.stats, strict=False))


def evaluate(metric: UniversalSegMetric, numbers=range(IMAGES)) -> dict[str, float]:
    for number in numbers:
        metric.process(None, [predicted(number)])
    return metric.evaluate(len(numbers))


@pytest.mark.parametrize("backend", ["hotcoco", "pycocotools"])
@pytest.mark.parametrize("from_file", [True, False], ids=["instances", "panoptic"])
def test_equals_pycocotools(tmp_path, backend, from_file):
    ann_file = write_universal(tmp_path, IMAGES)
    options = dict(kinds=["instance"], ap_backend=backend)
    metric = UniversalSegMetric(ann_file, **options)
    content = instances_of_panoptic(metric)
    assert any(annotation["iscrowd"] for annotation in content["annotations"])
    expected = by_pycocotools(content, tmp_path / "instances.json")
    if from_file:
        metric = UniversalSegMetric(
            ann_file, instances_file=str(tmp_path / "instances.json"), **options
        )
    figures = evaluate(metric)
    for name in FIGURES:
        if expected[name] < 0:
            assert np.isnan(figures[f"universal/{name}"])
        else:
            assert figures[f"universal/{name}"] == pytest.approx(100 * expected[name], abs=1e-6)
    assert 5 < figures["universal/AP"] < 95


def test_a_subset_is_measured_against_its_own_images(tmp_path):
    ann_file = write_universal(tmp_path, IMAGES)
    metric = UniversalSegMetric(ann_file, kinds=["instance"])
    content = instances_of_panoptic(metric)
    few = {
        "images": content["images"][:3],
        "annotations": [a for a in content["annotations"] if a["image_id"] < 3],
        "categories": THINGS,
    }
    expected = by_pycocotools(few, tmp_path / "few.json")
    assert evaluate(metric, range(3))["universal/AP"] == pytest.approx(100 * expected["AP"])


@pytest.mark.parametrize("backend", ["hotcoco", "pycocotools"])
def test_nothing_detected_is_zero_and_nothing_there_is_nan(tmp_path, backend):
    metric = UniversalSegMetric(
        write_universal(tmp_path, 1), kinds=["instance"], ap_backend=backend
    )
    sample = predicted(0)
    sample["pred_instances"] = {k: v[:0] for k, v in sample["pred_instances"].items()}
    metric.process(None, [sample])
    figures = metric.evaluate(1)
    assert figures["universal/AP"] == 0 and np.isnan(figures["universal/APl"])
    assert np.isnan(metric.evaluate(0)["universal/AP"])


def test_bad_instances(tmp_path):
    ann_file = write_universal(tmp_path, 2)

    def refused(content, says):
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=says):
            options = dict(kinds=["instance"], instances_file=str(path))
            evaluate(UniversalSegMetric(ann_file, **options), range(2))

    refused([], r"\[not-coco\] .*instances.json")
    content = {"images": [{"id": 1}], "annotations": [], "categories": THINGS[:1]}
    refused(content, "no category 70 named 'cow'")
    refused(content | {"categories": THINGS}, "image 0 is not in .*instances.json")
    with pytest.raises(InputError, match="ap_backend='coco' is unknown: choose from hotcoco"):
        UniversalSegMetric(ann_file, ap_backend="coco")
