"""Conversion of a COCO panoptic dataset's things to COCO instances: boxes, areas and masks.

Boxes and areas are those of a thing's pixels. Ids of images and categories and crowd flags are
kept. Stuff and segments without pixels are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.checks.panoptic_faults import panoptic_faults
from mmproscale.datasets.conversion.output import Progress, write_coco_json
from mmproscale.datasets.conversion.source_files import check_size
from mmproscale.datasets.formats.coco_json import read_coco_json
from mmproscale.datasets.formats.panoptic_png import png_name, read_png
from mmproscale.datasets.formats.rle import encode_mask, mask_fields, with_text_counts
from mmproscale.errors import InputError
from mmproscale.utils.faults import refuse


def instances_path(panoptic_json: str | Path) -> Path:
    """Return the default output of ``panoptic_SPLIT.json``: ``instances_SPLIT.json`` next to it.

    Raises:
        InputError: The name does not contain ``panoptic``.
    """
    path = Path(panoptic_json)
    if "panoptic" not in path.name:
        raise InputError(f"{path} has no 'panoptic' in its name to replace: add --out FILE")
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
        InputError: The JSON has a fault, or a PNG cannot be read or has another size.
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
            png = Path(png_folder) / png_name(image, annotation)
            ids = read_png(png)
            size = image["height"], image["width"]
            check_size(png, ids.shape, Path(image["file_name"]), size)
            for segment in segments:
                if instance := _instance(ids, segment):
                    place = {"id": len(instances) + 1, "image_id": image["id"]}
                    instances.append(place | instance)
        if progress is not None:
            progress(Path(out).stem, done, len(content["annotations"]))
    return write_coco_json(Path(out), content["images"], instances, categories)


def _instance(ids: np.ndarray, segment: dict) -> dict[str, Any] | None:
    """Return COCO's annotation of a thing; None if it has no pixels."""
    mask = ids == segment["id"]
    if not mask.any():
        return None
    known = {"category_id": segment["category_id"], "iscrowd": int(segment.get("iscrowd", 0))}
    return known | with_text_counts(mask_fields(encode_mask(mask)))
