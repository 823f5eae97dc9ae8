"""A dataset in COCO's instance format, of a few small images with made-up masks."""

import json
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as mask_utils

CATEGORIES = [dict(id=18, name="dog"), dict(id=3, name="car"), dict(id=7, name="bus")]


def write_tiny_instances(root: Path, train: int = 4, val: int = 2) -> None:
    """Write COCO's layout of 2017 under ``root``: 96x64 and 128x96 images, three masks in each.

    A polygon, a compressed RLE, and a crowd as uncompressed RLE, one of each category.
    """
    (root / "annotations").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for split, count in (("train2017", train), ("val2017", val)):
        (root / split).mkdir()
        content = dict(images=[], annotations=[], categories=CATEGORIES)
        for number in range(count):
            width, height = [(96, 64), (128, 96)][number % 2]
            image = generator.integers(0, 60, (height, width, 3), dtype=np.uint8)
            for order, left in enumerate((4, 36, 68)):
                x, y, w, h = left, 8 + 4 * number, 20, 24
                image[y : y + h, x : x + w, order] = 220
                content["annotations"].append(
                    dict(
                        id=len(content["annotations"]) + 1,
                        image_id=number,
                        category_id=CATEGORIES[order]["id"],
                        bbox=[x, y, w, h],
                        area=w * h,
                        iscrowd=int(order == 2),
                        segmentation=_segmentation(order, (x, y, w, h), (height, width)),
                    )
                )
            cv2.imwrite(str(root / split / f"{number}.jpg"), image)
            content["images"].append(
                dict(id=number, file_name=f"{number}.jpg", height=height, width=width)
            )
        path = root / "annotations" / f"instances_{split}.json"
        path.write_text(json.dumps(content))


def _segmentation(order: int, box: tuple, size: tuple) -> list | dict:
    x, y, w, h = box
    if order == 0:
        return [[x, y, x + w, y, x + w, y + h, x, y + h]]
    mask = np.zeros(size, np.uint8, order="F")
    mask[y : y + h, x : x + w] = 1
    if order == 1:
        rle = mask_utils.encode(mask)
        return dict(size=list(size), counts=rle["counts"].decode())
    changes = np.flatnonzero(np.diff(mask.ravel(order="F"))) + 1
    return dict(size=list(size), counts=np.diff([0, *changes, mask.size]).tolist())
