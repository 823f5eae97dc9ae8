"""Random boxes of a COCO dataset, results for them at several exits, and pycocotools' AP."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.datasets import CocoDataset
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

IMAGES, EXITS, IDS = 24, 3, (3, 7, 20, 21)
CROWD_IMAGE, EMPTY_IMAGE = 4, 5


def write_truth(path: Path) -> Path:
    """Write an annotation file with up to six boxes an image; none has the last class."""
    random = np.random.default_rng(0)
    annotations: list[dict] = []
    for image in range(IMAGES):
        for _ in range(0 if image == EMPTY_IMAGE else random.integers(1, 7)):
            x, y, w, h = random.uniform((0, 0, 8, 8), (60, 60, 40, 40)).tolist()
            box = dict(category_id=int(random.choice(IDS[:-1])), bbox=[x, y, w, h], area=w * h)
            annotations.append(box | dict(id=len(annotations) + 1, image_id=image, iscrowd=0))
        if image == CROWD_IMAGE:
            annotations[-1]["iscrowd"] = 1
    content = dict(
        images=[dict(id=i, file_name=f"{i}.jpg", height=100, width=100) for i in range(IMAGES)],
        annotations=annotations,
        categories=[dict(id=i, name=f"class {i}") for i in IDS],
    )
    path.write_text(json.dumps(content))
    return path


def build_dataset(truth: Path) -> CocoDataset:
    """Build mmdet's dataset of an annotation file of :func:`write_truth`."""
    return CocoDataset(
        ann_file=str(truth),
        data_prefix=dict(img=""),
        metainfo=dict(classes=tuple(f"class {i}" for i in IDS)),
        pipeline=[],
    )


def results_of(truth: Path) -> list[list[dict[str, Any]]]:
    """Return each image's result at each exit: moved true boxes, some twice, and random ones.

    Scores are coarse, so that many are equal.
    """
    random = np.random.default_rng(1)
    content = json.loads(truth.read_text())
    results = []
    for image in range(IMAGES):
        boxes = [a for a in content["annotations"] if a["image_id"] == image]
        results.append([_result(image, boxes, 2 + 4 * exit_, random) for exit_ in range(EXITS)])
    return results


def _result(
    image: int, boxes: list[dict], spread: int, random: np.random.Generator
) -> dict[str, Any]:
    found = []
    for box in boxes * 2:
        x, y, w, h = np.array(box["bbox"]) + random.normal(0, spread / 2, 4)
        label = IDS.index(box["category_id"]) if random.random() < 0.9 else 3
        found.append((label, x, y, x + abs(w), y + abs(h)))
    for _ in range(6):
        x, y, w, h = random.uniform(5, 50, 4)
        found.append((random.integers(4), x, y, x + w, y + h))
    rows = np.array(found)
    instances = dict(
        labels=torch.from_numpy(rows[:, 0].astype(int)),
        bboxes=torch.from_numpy(rows[:, 1:].astype(np.float32)),
        scores=torch.from_numpy(random.integers(1, 40, len(rows)).astype(np.float32) / 40),
    )
    return dict(img_id=image, pred_instances=instances)


def ap_by_coco(
    truth: Path, samples: list[dict[str, Any]], images: list[int] | None = None
) -> np.ndarray:
    """Return pycocotools' AP and AP50 of results for some images, by default all."""
    detections = [
        dict(image_id=sample["img_id"], category_id=IDS[label], score=score, bbox=box)
        for sample in samples
        for label, score, box in zip(
            sample["pred_instances"]["labels"].tolist(),
            sample["pred_instances"]["scores"].tolist(),
            (
                [x, y, x2 - x, y2 - y]
                for x, y, x2, y2 in sample["pred_instances"]["bboxes"].tolist()
            ),
            strict=True,
        )
    ]
    with redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        evaluation = COCOeval(coco, coco.loadRes(detections), "bbox")
        evaluation.params.imgIds = list(range(IMAGES)) if images is None else images
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    return evaluation.stats[:2]
