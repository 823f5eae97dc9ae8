"""Panoptic ground truth on disk: the classes, the images, and each image's segments."""

from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.panoptic_files import order_categories, read_panoptic_json
from mmproscale.errors import InputError
from mmproscale.evaluation.panoptic_format import read_png
from mmproscale.evaluation.panoptic_quality import Segments


class PanopticGroundTruth:
    """A COCO panoptic JSON and its folder of PNGs.

    Attributes:
        categories: In the order of labels, things first.
        label_of: Category id -> label.
        images: Image id -> its dict, in the file's order.
        annotations: Image id -> its dict, with a ``file_name``.

    Args:
        ann_file: The JSON.
        seg_prefix: The folder; by default the JSON's path without ``.json``.

    Raises:
        InputError: The JSON or the folder is missing or is not what it should be.
    """

    def __init__(self, ann_file: str | Path, seg_prefix: str | Path | None = None) -> None:
        self.ann_file = Path(ann_file)
        self.folder = Path(seg_prefix) if seg_prefix else self.ann_file.with_suffix("")
        content = read_panoptic_json(str(ann_file))
        if not self.folder.is_dir():
            raise InputError(f"seg_prefix {self.folder} is not a folder: name that of the PNGs")
        self.categories = order_categories(content["categories"], str(ann_file))
        self.label_of = {c["id"]: label for label, c in enumerate(self.categories)}
        self.images: dict[Any, dict] = {image["id"]: image for image in content["images"]}
        self.annotations = {a.get("image_id"): self._checked(a) for a in content["annotations"]}
        if len(self.annotations) < len(content["annotations"]):
            raise InputError(f"{ann_file} has two annotations of one image: correct it")

    @property
    def num_things(self) -> int:
        """How many classes are things; their labels come first."""
        return sum(bool(category["isthing"]) for category in self.categories)

    def _checked(self, annotation: dict) -> dict:
        """An annotation with a ``file_name``, by default its image's as PNG."""
        image_id = annotation.get("image_id")
        problem = None
        if image_id not in self.images:
            problem = "no such image"
        elif "segments_info" not in annotation:
            problem = "no segments_info"
        elif unknown := self._unknown_categories(annotation):
            problem = f"category_id {unknown[0]}, which is not in 'categories'"
        if problem:
            raise InputError(
                f"{self.ann_file}: annotation of image {image_id} has {problem}: correct it"
            )
        png = Path(self.images[image_id]["file_name"]).with_suffix(".png")
        return {"file_name": str(png)} | annotation

    def _unknown_categories(self, annotation: dict) -> list:
        ids = [segment.get("category_id") for segment in annotation["segments_info"]]
        return [category_id for category_id in ids if category_id not in self.label_of]

    def check_image(self, image_id: Any, shape: tuple[int, ...]) -> None:
        """Check that an image is annotated and that a prediction has its size.

        Args:
            image_id: As in the JSON.
            shape: (H, W) of the prediction.

        Raises:
            InputError: It is not, or has not.
        """
        if image_id not in self.annotations:
            raise InputError(
                f"image {image_id} is predicted but not annotated in {self.ann_file}: "
                "use one ann_file in dataloader and evaluator"
            )
        image = self.images[image_id]
        expected = (image.get("height", shape[0]), image.get("width", shape[1]))
        if tuple(shape) != expected:
            raise InputError(
                f"prediction for {image.get('file_name', image_id)} is {shape[0]}x{shape[1]} but "
                f"{self.ann_file} says {expected[0]}x{expected[1]} (height x width): correct the "
                "file, or rescale predictions to the original size"
            )

    def read(self, image_id: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, Segments]:
        """Read one image's id map, (H, W) int32, and its segments.

        Args:
            image_id: One that :meth:`check_image` passes.
            shape: (H, W) of the prediction, which must be the PNG's.

        Raises:
            InputError: The PNG is missing, or has another size.
        """
        annotation = self.annotations[image_id]
        path = self.folder / annotation["file_name"]
        id_map = read_png(path)
        if id_map.shape != tuple(shape):
            raise InputError(
                f"panoptic PNG {path} is {id_map.shape[0]}x{id_map.shape[1]} but the prediction "
                f"is {shape[0]}x{shape[1]} (height x width): correct the file"
            )
        return id_map, self._segments(annotation)

    def _segments(self, annotation: dict) -> Segments:
        infos = annotation["segments_info"]
        try:
            return Segments(
                ids=np.array([info["id"] for info in infos], np.int64),
                labels=np.array([self.label_of[info["category_id"]] for info in infos], np.int64),
                areas=np.array([info["area"] for info in infos], np.int64),
                crowds=np.array([info.get("iscrowd", 0) for info in infos], bool),
            )
        except KeyError as error:
            raise InputError(
                f"{self.ann_file}: a segment of image {annotation['image_id']} has no {error}"
            ) from None
