"""Write predictions as COCO's files and as pictures, each of them whole or not at all."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmproscale.datasets.formats.panoptic_png import encode_png
from mmproscale.datasets.formats.rle import with_text_counts
from mmproscale.inference.pictures.box_picture import box_picture
from mmproscale.inference.pictures.panoptic_picture import Panel, panoptic_picture
from mmproscale.inference.predictor import Prediction
from mmproscale.utils.atomic_files import (
    atomic_write_bytes,
    atomic_write_text,
    ensure_writable_dir,
)

DETECTIONS = {"instance": "instances.json", "boxes": "detections.json"}
"""Kinds of results that are COCO's detections, and their files."""


class PredictionFolder:
    """A folder of results, by kind.

    - panoptic: ``panoptic.json``, ``panoptic/NAME.png``
    - semantic: ``semantic/NAME.png``, the category id of each pixel, in 8 bits or, for ids from 256
      on, 16
    - instance: ``instances.json``, COCO's detections
    - boxes: ``detections.json``, COCO's detections without masks

    To look at there is ``pictures/NAME.jpg``, of the panoptic result or, where that was not asked
    for, the semantic one, or of boxes. ``images.json`` has images and categories where
    ``panoptic.json`` does not have them, and beside detections. PNGs and pictures are written as
    predictions come; the JSONs by :meth:`finish`.

    Args:
        folder: Made if it is not there.
        categories: As :class:`~mmproscale.inference.predictor.Predictor` has them.
        pictures: Whether to draw pictures.
        kinds: What predictions hold.

    Raises:
        InputError: The folder can't be written.
    """

    def __init__(
        self,
        folder: str | Path,
        categories: Sequence[dict[str, Any]],
        pictures: bool = True,
        kinds: Sequence[str] = ("panoptic",),
    ) -> None:
        self.folder = Path(folder)
        self.categories = categories
        self.kinds = tuple(kinds)
        self.pictures = pictures and tuple(kinds) != ("instance",)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._detections: list[dict[str, Any]] = []
        subfolders = [kind for kind in kinds if kind not in DETECTIONS]
        for name in subfolders + ["pictures"] * self.pictures:
            ensure_writable_dir(self.folder / name)

    def add(self, prediction: Prediction, name: str, image_id: int) -> None:
        """Write one prediction's PNGs and picture under ``name``; keep what the JSONs will hold."""
        height, width = prediction.image.shape[:2]
        file_name = str(prediction.image_path)
        if "panoptic" in self.kinds:
            self._add_panoptic(prediction, name, image_id)
        if "semantic" in self.kinds:
            png = encode_category_png(prediction.category_map)
            atomic_write_bytes(self.folder / "semantic" / f"{name}.png", png)
        if self.pictures:
            picture = self._picture(prediction)
            atomic_write_bytes(self.folder / "pictures" / f"{name}.jpg", encode_jpg(picture))
        for detection in prediction.instances or ():
            self._detections.append({"image_id": image_id, **with_text_counts(detection)})
        for box in prediction.boxes or ():
            self._detections.append({"image_id": image_id, **box})
        self._images.append(
            {"id": image_id, "file_name": file_name, "height": height, "width": width}
        )

    def _add_panoptic(self, prediction: Prediction, name: str, image_id: int) -> None:
        png = f"{name}.png"
        atomic_write_bytes(self.folder / "panoptic" / png, encode_png(prediction.id_map))
        self._annotations.append(
            {"image_id": image_id, "file_name": png, "segments_info": prediction.segments}
        )

    def _picture(self, prediction: Prediction) -> np.ndarray:
        if prediction.boxes is not None:
            return box_picture(prediction.image, prediction.boxes, self.categories)
        return panoptic_picture(prediction.image, [panel_of(prediction)], self.categories)

    def finish(self) -> Path:
        """Write the JSONs for what was added; return the folder."""
        content = {"images": self._images, "categories": list(self.categories)}
        if "panoptic" in self.kinds:
            panoptic = content | {"annotations": self._annotations}
            atomic_write_text(self.folder / "panoptic.json", json.dumps(panoptic))
        for kind in DETECTIONS.keys() & {*self.kinds}:
            # COCO's results are a bare list, so what its image ids are stands beside it.
            atomic_write_text(self.folder / DETECTIONS[kind], json.dumps(self._detections))
        if "instance" in self.kinds or "panoptic" not in self.kinds:
            atomic_write_text(self.folder / "images.json", json.dumps(content))
        return self.folder

    def __len__(self) -> int:
        return len(self._images)


def panel_of(prediction: Prediction) -> Panel:
    """What a picture shows: the panoptic result, or of a semantic one a segment for each class."""
    if prediction.id_map is not None:
        return "prediction", prediction.id_map, prediction.segments
    ids = prediction.category_map + 1  # 0 is void
    segments = [{"id": int(i), "category_id": int(i) - 1, "iscrowd": 0} for i in np.unique(ids)]
    return "prediction", ids, segments


def encode_category_png(category_map: np.ndarray) -> bytes:
    """Category ids (H, W) as a grey PNG of 8 bits, or of 16 where an id needs them."""
    wide = category_map.max(initial=0) > 255
    encoded, buffer = cv2.imencode(".png", category_map.astype(np.uint16 if wide else np.uint8))
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode a PNG of shape {category_map.shape}")
    return buffer.tobytes()


def encode_jpg(picture: np.ndarray) -> bytes:
    """A picture (H, W, 3) RGB as JPEG, fine enough for its text."""
    encoded, buffer = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode a JPEG of shape {picture.shape}")
    return buffer.tobytes()
