"""The things of a COCO panoptic dataset as COCO instances: boxes, areas and masks, for detection.

Boxes and areas are those of a thing's pixels. Ids of images and categories stay, crowds stay
crowds; stuff and segments without a pixel are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.checks.panoptic_faults import panoptic_faults
from mmproscale.datasets.formats.coco_json import read_coco_json
from mmproscale.datasets.formats.panoptic_png import png_name, read_png
from mmproscale.errors import InputError
from mmproscale.evaluation.instance_quality import described, encode_mask
from mmproscale.utils.atomic_files import atomic_write_text
from mmproscale.utils.faults import refuse

Progress = Callable[[str, int, int], None]


def instances_path(panoptic_json: str | Path) -> Path:
    """Where the instances of ``panoptic_SPLIT.json`` go: ``instances_SPLIT.json`` beside it.

    Raises:
        InputError: A name without ``panoptic``.
    """
    path = Path(panoptic_json)
    if "panoptic" not in path.name:
        raise InputError(f"{path} has no 'panoptic' in its name to replace: say --out FILE")
    return path.with_name(path.name.replace("panoptic", "instances"))


def convert_to_instances(
    panoptic_json: str | Path,
    png_folder: str | Path,
    out: str | Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the things of a panoptic dataset as a COCO instances JSON.

    Args:
        panoptic_json: The panoptic JSON.
        png_folder: Folder of its PNGs.
        out: The file to write.
        progress: Called as (name, images done, images in all).

    Returns:
        The JSON's content.

    Raises:
        InputError: A panoptic file with a fault, a PNG that can't be read or is of another size.
    """
    content = read_coco_json(str(panoptic_json))
    refuse(panoptic_faults(content, str(panoptic_json)))
    categories = [category for category in content["categories"] if category["isthing"]]
    things = {category["id"] for category in categories}
    images = {image["id"]: image for image in content["images"]}
    instances: list[dict] = []
    for done, annotation in enumerate(content["annotations"], start=1):
        image = images[annotation["image_id"]]
        segments = [s for s in annotation["segments_info"] if s["category_id"] in things]
        if segments:
            ids = _read(Path(png_folder) / png_name(image, annotation), image)
            for segment in segments:
                if instance := _instance(ids, segment):
                    place = {"id": len(instances) + 1, "image_id": image["id"]}
                    instances.append(place | instance)
        if progress is not None:
            progress(Path(out).stem, done, len(content["annotations"]))
    result = {"images": content["images"], "annotations": instances, "categories": categories}
    atomic_write_text(Path(out), json.dumps(result))
    return result


def _read(path: Path, image: dict) -> np.ndarray:
    ids = read_png(path)
    if ids.shape != (image["height"], image["width"]):
        raise InputError(
            f"{path} is {ids.shape[1]}x{ids.shape[0]} pixels but its image "
            f"{image['width']}x{image['height']}: they must be of one size"
        )
    return ids


def _instance(ids: np.ndarray, segment: dict) -> dict[str, Any] | None:
    """COCO's annotation of a thing, or None where it has no pixel."""
    mask = ids == segment["id"]
    if not mask.any():
        return None
    instance = described(encode_mask(mask))
    counts = instance["segmentation"]["counts"]
    text = counts.decode() if isinstance(counts, bytes) else counts
    rle = {"size": list(mask.shape), "counts": text}
    known = {"category_id": segment["category_id"], "iscrowd": int(segment.get("iscrowd", 0))}
    return known | instance | {"segmentation": rle}
