"""A panoptic dataset of random rectangles, with crowds and void, and predictions for it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.evaluation.functional import INSTANCE_OFFSET
from pycocotools import mask as mask_utils

from mmproscale.datasets.formats.panoptic_png import encode_png

SIZE = (24, 32)
# Labels are things first: car 0, cow 1, sky 2, road 3, moon 4 (which nobody sees); void is 5.
CATEGORIES = [
    {"id": 21, "name": "sky", "isthing": 0},
    {"id": 5, "name": "car", "isthing": 1},
    {"id": 9, "name": "road", "isthing": 0},
    {"id": 70, "name": "cow", "isthing": 1},
    {"id": 3, "name": "moon", "isthing": 0},
]
NAMES = ("car", "cow", "sky", "road", "moon")
IDS = (5, 70, 21, 9, 3)
THINGS = [{"id": 5, "name": "car"}, {"id": 70, "name": "cow"}]
CROWD_ID = 90000


def scene(seed: int) -> np.ndarray:
    """(H, W) labels plus INSTANCE_OFFSET times the instance; 5 is void."""
    random = np.random.default_rng(seed)
    height, width = SIZE
    scene = np.full(SIZE, 2, np.int64)
    scene[height // 2 :] = 3
    for instance in range(1, 5):
        y, x = random.integers(0, height - 8), random.integers(0, width - 8)
        h, w = random.integers(4, 14, 2)
        scene[y : y + h, x : x + w] = random.integers(0, 2) + instance * INSTANCE_OFFSET
    scene[:, :2] = 5
    return scene


def write_universal(folder: Path, images: int) -> Path:
    """Write ``val.json`` and ``val/``; every third image has a crowd. Return the JSON's path."""
    (folder / "val").mkdir(parents=True)
    annotations = []
    for number in range(images):
        labels, id_map, segments = scene(number), np.zeros(SIZE, np.int64), []
        for value in np.unique(labels[labels != 5]):
            crowd = number % 3 == 0 and value == labels[labels >= INSTANCE_OFFSET].min()
            segment_id = CROWD_ID if crowd else int(value) + 1
            id_map[labels == value] = segment_id
            segments.append(
                {
                    "id": segment_id,
                    "category_id": IDS[value % INSTANCE_OFFSET],
                    "iscrowd": int(crowd),
                    "area": int((labels == value).sum()),
                    "bbox": [0, 0, 1, 1],
                }
            )
        (folder / "val" / f"{number}.png").write_bytes(encode_png(id_map))
        annotations.append(
            {"image_id": number, "file_name": f"{number}.png", "segments_info": segments}
        )
    height, width = SIZE
    content = {
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "height": height, "width": width}
            for n in range(images)
        ],
        "annotations": annotations,
        "categories": CATEGORIES,
    }
    (folder / "val.json").write_text(json.dumps(content))
    return folder / "val.json"


def predicted(number: int) -> dict[str, Any]:
    """A plausible prediction for an image: the truth moved, some of it lost, scores at random."""
    random = np.random.default_rng(1000 + number)
    labels = np.roll(scene(number), random.integers(0, 4), axis=1)
    if random.random() < 0.3:
        labels[labels == labels.max()] = 5
    values = [v for v in np.unique(labels) if v >= INSTANCE_OFFSET]
    masks = np.stack([labels == v for v in values]) if values else np.zeros((0, *SIZE), bool)
    semantic = np.where(labels == 5, 2, labels % INSTANCE_OFFSET)
    return {
        "img_id": number,
        "pred_panoptic_seg": {"sem_seg": torch.from_numpy(labels)[None]},
        "pred_sem_seg": {"sem_seg": torch.from_numpy(semantic)[None]},
        "pred_instances": {
            "labels": torch.tensor([v % INSTANCE_OFFSET for v in values], dtype=torch.long),
            # Few different scores: ties must not depend on who had the image.
            "scores": torch.from_numpy(random.integers(1, 4, len(values)) / 4),
            "masks": torch.from_numpy(masks),
        },
    }


def text_rle(mask: np.ndarray) -> dict[str, Any]:
    """A mask (H, W) as RLE, as JSON has it."""
    encoded = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    return encoded | {"counts": encoded["counts"].decode()}


def small_mask(height: int = SIZE[0], width: int = SIZE[1]) -> np.ndarray:
    """A mask (H, W) of four rows from 2 on and six columns from 3 on."""
    mask = np.zeros((height, width), bool)
    mask[2:6, 3:9] = True
    return mask
