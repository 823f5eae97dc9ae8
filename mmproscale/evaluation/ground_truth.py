"""Panoptic ground truth on disk: the classes, the images, and each image's segments."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.checks.categories import order_categories
from mmproscale.datasets.checks.png_faults import map_segments, segment_faults
from mmproscale.datasets.formats.coco_json import read_coco_json
from mmproscale.datasets.formats.images import size_faults
from mmproscale.datasets.formats.panoptic_png import VOID, png_name, png_shape, read_png
from mmproscale.errors import InputError
from mmproscale.evaluation.file_comparison import StoredMap, is_sound
from mmproscale.evaluation.file_faults import truth_faults
from mmproscale.evaluation.panoptic_quality import Segments
from mmproscale.evaluation.pixel_pairs import count_pairs
from mmproscale.utils.faults import refuse


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
        InputError: The JSON or the folder is missing; the JSON has a fault that bears on figures.
    """

    def __init__(self, ann_file: str | Path, seg_prefix: str | Path | None = None) -> None:
        self.ann_file = Path(ann_file)
        self.folder = Path(seg_prefix) if seg_prefix else self.ann_file.with_suffix("")
        content = read_coco_json(str(ann_file))
        refuse(truth_faults(content, str(ann_file)))
        if not self.folder.is_dir():
            raise InputError(f"seg_prefix {self.folder} is not a folder: name that of the PNGs")
        self.categories = order_categories(content["categories"], str(ann_file))
        self.label_of = {c["id"]: label for label, c in enumerate(self.categories)}
        self.images: dict[Any, dict] = {image["id"]: image for image in content["images"]}
        self.annotations: dict[Any, dict] = {
            a["image_id"]: a | {"file_name": png_name(self.images[a["image_id"]], a)}
            for a in content["annotations"]
        }

    @property
    def num_things(self) -> int:
        """How many classes are things; their labels come first."""
        return sum(bool(category["isthing"]) for category in self.categories)

    def shape_of(self, image_id: Any) -> tuple[int, int]:
        """(H, W) of an annotated image: the JSON's, or where that does not say the PNG's.

        Raises:
            InputError: The JSON does not say, and the PNG is missing or no 8-bit RGB.
        """
        image = self.images[image_id]
        if {"height", "width"} <= image.keys():
            return image["height"], image["width"]
        return png_shape(self.stored(image_id).path)

    def stored(self, image_id: Any) -> StoredMap:
        """The PNG of an annotated image, and its segments as the JSON has them."""
        annotation = self.annotations[image_id]
        return StoredMap(self.folder, annotation["file_name"], annotation["segments_info"])

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
            InputError: The PNG is missing, no 8-bit RGB, or of another size; it and the JSON
                differ in the segments or their areas.
        """
        stored = self.stored(image_id)
        id_map = read_png(stored.path)
        if id_map.shape != tuple(shape):
            raise InputError(
                f"panoptic PNG {stored.path} is {id_map.shape[0]}x{id_map.shape[1]} but the "
                f"prediction is {shape[0]}x{shape[1]} (height x width): correct the file"
            )
        segments = self._segments(stored.segments)
        check_segments(id_map, segments, stored.path)
        return id_map, segments

    def check_png(self, image_id: Any) -> None:
        """Check an annotated image's PNG as :meth:`read` does, in less time.

        Raises:
            InputError: As :meth:`read`; the size is the JSON's, if that says one.
        """
        stored = self.stored(image_id)
        shape, path = png_shape(stored.path), str(stored.path)
        refuse(size_faults("png", path, shape, self.shape_of(image_id), "its image in the JSON"))
        if not is_sound(stored, self.categories):
            self.read(image_id, shape)

    def _segments(self, infos: Sequence[dict[str, Any]]) -> Segments:
        return Segments(
            ids=np.array([info["id"] for info in infos], np.int64),
            labels=np.array([self.label_of[info["category_id"]] for info in infos], np.int64),
            areas=np.array([info["area"] for info in infos], np.int64),
            crowds=np.array([info.get("iscrowd", 0) for info in infos], bool),
        )


def check_segments(id_map: np.ndarray, segments: Segments, path: str | Path) -> None:
    """Check that an id map (H, W) holds the JSON's segments, no others, with their areas.

    Raises:
        InputError: It does not; ``path``, its PNG, is named.
    """
    values, _, pixels = count_pairs(id_map, id_map)
    drawn = dict(zip(values.tolist(), pixels.tolist(), strict=True))
    drawn.pop(VOID, None)
    stated = dict(zip(segments.ids.tolist(), segments.areas.tolist(), strict=True))
    if drawn == stated:
        return
    found = map_segments(id_map, segments.ids)
    of_json = [{"id": segment_id, "area": area} for segment_id, area in stated.items()]
    refuse(segment_faults(id_map, found, of_json, str(path)))
