"""A panoptic dataset of a few pixels, written to disk, and how to build it."""

import copy
import json
from pathlib import Path

import cv2
import numpy as np

from mmproscale.registry import DATASETS

TRUTH_PIPELINE = [dict(type="mmproscale.LoadImage"), dict(type="mmproscale.LoadPanoptic")]
CATEGORIES = [
    dict(id=7, name="grass", isthing=0, color=[1, 2, 3]),
    dict(id=3, name="cow", isthing=1),
    dict(id=9, name="sky", isthing=0),
]


def build(root, **changes):
    """Build the dataset of `write_tiny`, or one that `changes` describes."""
    config = dict(
        type="mmproscale.PanopticDataset",
        data_root=str(root),
        ann_file="panoptic.json",
        data_prefix=dict(img="images/", seg="pngs/"),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=TRUTH_PIPELINE,
    )
    return DATASETS.build(config | changes)


def write_tiny(root: Path, segments_of_images=None, categories=CATEGORIES) -> dict:
    """Write a dataset of 4x6 images; segments are (id, category_id, iscrowd), one column each."""
    segments_of_images = segments_of_images or [[(1, 7, 0), (70000, 3, 0)], [(5, 9, 0)]]
    for folder in ("images", "pngs"):
        (root / folder).mkdir(parents=True)
    content = dict(images=[], annotations=[], categories=copy.deepcopy(categories))
    for i, segments in enumerate(segments_of_images):
        ids = np.zeros((4, 6), np.int64)
        infos = []
        for column, (segment_id, category, crowd) in enumerate(segments):
            ids[:, column] = segment_id
            infos.append(
                dict(
                    id=segment_id,
                    category_id=category,
                    iscrowd=crowd,
                    area=4,
                    bbox=[column, 0, 1, 4],
                )
            )
        bgr = np.stack([ids >> 16, ids >> 8 & 255, ids & 255], -1).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"{i}.jpg"), np.full((4, 6, 3), 100, np.uint8))
        cv2.imwrite(str(root / "pngs" / f"truth_{i}.png"), bgr)
        content["images"].append(dict(id=i, file_name=f"{i}.jpg", height=4, width=6))
        content["annotations"].append(
            dict(image_id=i, file_name=f"truth_{i}.png", segments_info=infos)
        )
    write_json(root, content)
    return content


def write_json(root: Path, content) -> None:
    (root / "panoptic.json").write_text(json.dumps(content))
