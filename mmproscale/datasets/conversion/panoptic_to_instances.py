"""Conversion of a COCO panoptic dataset's things to COCO instances: boxes, areas and masks.

Boxes and areas are those of a thing's pixels. Ids of images and categories and crowd flags are
kept. Stuff and segments without pixels are left out.
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.checks.panoptic_faults import panoptic_faults
from mmproscale.datasets.conversion.output import Progress, SourcesError, each
from mmproscale.datasets.conversion.summary import Counts, Summary
from mmproscale.datasets.formats.coco_json import read_coco_json
from mmproscale.datasets.formats.images import size_faults
from mmproscale.datasets.formats.panoptic_png import png_name, read_png
from mmproscale.datasets.formats.rle import encode_mask, mask_fields, with_text_counts
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_write_text
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
) -> Summary:
    """Write the things of a panoptic dataset as a COCO instances JSON.

    Args:
        panoptic_json: The panoptic JSON.
        png_folder: Folder of its PNGs.
        out: The file to write.
        progress: Called as (name, images done, images in all).

    Raises:
        SourcesError: The JSON has faults, or PNGs cannot be read or have another size.
    """
    content = read_coco_json(str(panoptic_json))
    found = (f for f in panoptic_faults(content, str(panoptic_json)) if not f.note)
    if faults := [f"[{fault.kind}] {fault}" for fault in found]:
        raise SourcesError(faults)
    categories = [category for category in content["categories"] if category["isthing"]]
    things = {category["id"] for category in categories}
    images = {image["id"]: image for image in content["images"]}
    summary = Summary(categories, what="instances")
    summary.content["images"] = content["images"]
    done = count(1)

    def convert(annotation: dict) -> None:
        segments = [s for s in annotation["segments_info"] if s["category_id"] in things]
        image, left_out = images[annotation["image_id"]], []
        ids = _read_png(image, annotation, Path(png_folder)) if segments else np.zeros((0, 0))
        for segment in segments:
            if instance := _instance(ids, segment):
                place = {"id": len(summary.content["annotations"]) + 1, "image_id": image["id"]}
                summary.content["annotations"].append(place | instance)
            else:
                left_out.append(("without pixels", f"image {image['id']}, segment {segment['id']}"))
        summary.count(image, Counts(len(segments) - len(left_out), left_out))
        if progress is not None:
            progress(Path(out).stem, next(done), len(content["annotations"]))

    each(convert, content["annotations"])
    atomic_write_text(out, json.dumps(summary.content))
    return summary


def _read_png(image: dict, annotation: dict, folder: Path) -> np.ndarray:
    path = folder / png_name(image, annotation)
    ids, size = read_png(path), (image["height"], image["width"])
    refuse(size_faults("png", str(path), ids.shape, size, "its image in the JSON"))
    return ids


def _instance(ids: np.ndarray, segment: dict) -> dict[str, Any] | None:
    """Return COCO's annotation of a thing; None if it has no pixels."""
    mask = ids == segment["id"]
    if not mask.any():
        return None
    known = {"category_id": segment["category_id"], "iscrowd": int(segment.get("iscrowd", 0))}
    return known | with_text_counts(mask_fields(encode_mask(mask)))
