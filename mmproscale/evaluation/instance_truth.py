"""Instances on disk, which AP is measured against: COCO's instances JSON, by image."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmproscale.datasets.checks.instance_faults import mask_faults
from mmproscale.datasets.formats.coco_json import read_json
from mmproscale.errors import InputError
from mmproscale.evaluation.file_faults import instance_truth_faults
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.utils.faults import Fault, refuse


class InstanceGroundTruth:
    """Instances of a COCO instances JSON, by image.

    Args:
        path: The JSON.
        truth: The panoptic ground truth, whose images and things are scored. The JSON must have
            each of its things; what it has beyond them is left out.

    Raises:
        InputError: The file is missing, is no COCO instances JSON, or lacks a thing; it has a fault
            that bears on AP, be it in a mask.
    """

    def __init__(self, path: str | Path, truth: PanopticGroundTruth) -> None:
        self.path, self.truth = Path(path), truth
        content = read_json(path, "the file's name")
        refuse(instance_truth_faults(content, str(path)))
        self._things = self._known_things(content["categories"])
        refuse(self._mask_faults(content["annotations"]))
        self._of_image: dict[Any, list[dict]] = {i["id"]: [] for i in content["images"]}
        for annotation in content["annotations"]:
            self._of_image[annotation["image_id"]].append(annotation)

    def _known_things(self, categories: list[dict]) -> set[int]:
        names = {category["id"]: category["name"] for category in categories}
        things = self.truth.categories[: self.truth.num_things]
        for thing in things:
            if names.get(thing["id"]) != thing["name"]:
                raise InputError(
                    f"instances file {self.path} has no category {thing['id']} named "
                    f"{thing['name']!r}, which the panoptic ground truth has: use its instances"
                )
        return {thing["id"] for thing in things}

    def _mask_faults(self, annotations: list[dict]) -> Iterator[Fault]:
        """Faults of the masks that are scored; sizes are those of the panoptic ground truth."""
        for place, annotation in enumerate(annotations):
            image_id = annotation["image_id"]
            if annotation["category_id"] not in self._things:
                continue
            if image_id not in self.truth.annotations:
                continue
            mask = {"segmentation": annotation.get("segmentation")}
            height, width = self.truth.shape_of(image_id)
            record = f"annotations[{place}]"
            for fault in mask_faults(mask, height, width, str(self.path), record):
                # What training leaves out would here be an object that nothing can match.
                yield replace(fault, note=False)

    def of_image(self, image_id: Any) -> list[dict[str, Any]]:
        """The annotations of one image.

        Raises:
            InputError: The file does not have it.
        """
        if image_id not in self._of_image:
            raise InputError(f"image {image_id} is not in {self.path}: use the panoptic JSON's set")
        return [a for a in self._of_image[image_id] if a["category_id"] in self._things]
