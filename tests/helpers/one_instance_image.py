"""One image with COCO instances of every kind of mask, written, checked and read."""

import json

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from mmproscale.datasets.checks.dataset_check import DatasetFiles, check_dataset
from mmproscale.registry import DATASETS

HEIGHT, WIDTH = 40, 60
BOX = [8, 6, 20, 24]


def rle_of(box) -> np.ndarray:
    x, y, w, h = box
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[y : y + h, x : x + w] = 1
    return mask


def tiny_instances() -> dict:
    """Return one image with a polygon, a compressed RLE and a crowd as uncompressed RLE."""
    x, y, w, h = BOX
    mask = rle_of(BOX)
    changes = np.flatnonzero(np.diff(mask.ravel(order="F"))) + 1
    compressed = mask_utils.encode(mask)["counts"].decode()
    masks = [
        [[x, y, x + w, y, x + w, y + h, x, y + h]],
        dict(size=[HEIGHT, WIDTH], counts=compressed),
        dict(size=[HEIGHT, WIDTH], counts=np.diff([0, *changes, mask.size]).tolist()),
    ]
    common = dict(image_id=5, category_id=3, bbox=BOX, area=w * h)
    return dict(
        images=[dict(id=5, file_name="a.jpg", height=HEIGHT, width=WIDTH)],
        annotations=[
            common | dict(id=number, segmentation=mask, iscrowd=int(number == 3))
            for number, mask in enumerate(masks, start=1)
        ],
        categories=[dict(id=3, name="car"), dict(id=9, name="bus")],
    )


def check(root, content: dict):
    (root / "instances.json").write_text(json.dumps(content))
    cv2.imwrite(str(root / "a.jpg"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    return check_dataset(DatasetFiles(str(root / "instances.json"), str(root), panoptic=False))


def build(root, **options):
    """Return the dataset that training reads, which `check` has written."""
    config = dict(
        type="mmproscale.InstanceDataset",
        data_root=str(root),
        ann_file="instances.json",
        data_prefix=dict(img="."),
        pipeline=[dict(type="mmproscale.LoadImage"), dict(type="mmproscale.LoadInstances")],
    )
    return DATASETS.build(config | options)
