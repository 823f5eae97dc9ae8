"""Objects of COCO instances: entries of boxes and outlines, and the images that they are in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools import mask as rle_tools

from mmproscale.datasets.checks.instance_faults import instance_faults
from mmproscale.datasets.checks.lenient_instances import numbered
from mmproscale.datasets.conversion.summary import NO_COUNTS, Counts
from mmproscale.utils.faults import Fault


@dataclass(frozen=True)
class InstanceImage:
    """One converted image of a dataset of instances or boxes.

    Args:
        image_id: Its id in the JSON.
        file_name: Its name in the JSON, and in the folder that images are copied to.
        size: Height and width in pixels.
        objects: COCO's annotations without ``id`` and ``image_id``.
        picture: File of the image.
        counts: Numbers of the source's shapes; by default objects are counted.
    """

    image_id: int
    file_name: str
    size: tuple[int, int]
    objects: Sequence[dict[str, Any]]
    picture: Path
    counts: Counts = NO_COUNTS


def box_entry(
    category_id: int, corners: Sequence[float], size: tuple[int, int]
) -> dict[str, Any] | str:
    """Return COCO's annotation of a box without a mask, or the reason why it has no area.

    Args:
        category_id: Id of its class.
        corners: Left, top, right and bottom in pixels; the part outside the image is cut off.
        size: Height and width of the image.
    """
    left, top, right, bottom = corners
    if min(right, size[1]) <= 0 or min(bottom, size[0]) <= 0 or left >= size[1] or top >= size[0]:
        return "outside the image"
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, size[1]), min(bottom, size[0])
    box = [round(value, 2) for value in (left, top, right - left, bottom - top)]
    if min(box[2:]) <= 0:
        return "of no area"
    return {"category_id": category_id, "iscrowd": 0, "bbox": box, "area": box[2] * box[3]}


def mask_entry(
    category_id: int, rle: dict[str, Any], polygons: list[list[float]] | None = None
) -> dict[str, Any] | str:
    """Return COCO's annotation of a mask, or the reason why it has no pixel.

    Args:
        category_id: Id of its class.
        rle: COCO's compressed run-length code.
        polygons: Polygons to write instead of the code.
    """
    area = int(rle_tools.area(rle))
    if not area:
        return "of no area"
    code = {"size": list(rle["size"]), "counts": rle["counts"].decode()}
    entry = {"category_id": category_id, "iscrowd": 0, "segmentation": polygons or code}
    return entry | {"bbox": rle_tools.toBbox(rle).tolist(), "area": area}


def numbered_faults(content: dict[str, Any], path: str) -> list[Fault]:
    """Give the objects of a file numbers; return its faults and notes. Boxes need no masks.

    Args:
        content: Content of the JSON.
        path: Its name, for messages.
    """
    content["annotations"] = numbered(content["annotations"])
    found = instance_faults(content, path, need_annotations=True)
    return [fault for fault in found if not (fault.note and fault.kind == "mask-missing")]
