"""Files of predictions: COCO's JSON and PNGs, and pictures. No file is left half written."""

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
"""Kind of result -> its file, for the kinds that are COCO's detections."""


class PredictionFolder:
    """Folder of results.

    - panoptic: ``panoptic.json``, ``panoptic/NAME.png``
    - semantic: ``semantic/NAME.png``, category ids of the pixels in 8 bits, or 16 for ids from 256
    - instance: ``instances.json``, COCO's detections
    - boxes: ``detections.json``, COCO's detections without masks
    - ``pictures/NAME.jpg`` for people: the boxes, the panoptic result or else the semantic one
    - ``images.json``: images and categories, unless ``panoptic.json`` is the only JSON

    PNGs and pictures are written by :meth:`add`, the JSONs by :meth:`finish`.

    Args:
        folder: Made if it does not exist.
        categories: Those of a :class:`~mmproscale.inference.predictor.Predictor`.
        pictures: True to draw pictures.
        kinds: Kinds of results that every prediction has.

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
        """Write one prediction's PNGs and picture under ``name``; keep the JSONs' content."""
        height, width = prediction.image.shape[:2]
        file_name = str(prediction.image_path)
        if prediction.id_map is not None:
            png = f"{name}.png"
            atomic_write_bytes(self.folder / "panoptic" / png, encode_png(prediction.id_map))
            self._annotations.append(
                {"image_id": image_id, "file_name": png, "segments_info": prediction.segments}
            )
        if prediction.category_map is not None:
            semantic = encode_category_png(prediction.category_map)
            atomic_write_bytes(self.folder / "semantic" / f"{name}.png", semantic)
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

    def _picture(self, prediction: Prediction) -> np.ndarray:
        if prediction.boxes is not None:
            return box_picture(prediction.image, prediction.boxes, self.categories)
        return panoptic_picture(prediction.image, [panel_of(prediction)], self.categories)

    def finish(self) -> Path:
        """Write the JSONs for all that was added; return the folder."""
        content = {"images": self._images, "categories": list(self.categories)}
        if "panoptic" in self.kinds:
            panoptic = content | {"annotations": self._annotations}
            atomic_write_text(self.folder / "panoptic.json", json.dumps(panoptic))
        for kind in DETECTIONS.keys() & {*self.kinds}:
            # COCO's results are a bare list; images.json says which image has which id.
            atomic_write_text(self.folder / DETECTIONS[kind], json.dumps(self._detections))
        if "instance" in self.kinds or "panoptic" not in self.kinds:
            atomic_write_text(self.folder / "images.json", json.dumps(content))
        return self.folder

    def __len__(self) -> int:
        return len(self._images)


def panel_of(prediction: Prediction) -> Panel:
    """Return the panel to draw: the panoptic result, or the semantic one, one segment a class."""
    if prediction.id_map is not None:
        return "prediction", prediction.id_map, prediction.segments or []
    assert prediction.category_map is not None
    ids: np.ndarray = prediction.category_map + 1  # 0 is void
    segments = [{"id": int(i), "category_id": int(i) - 1, "iscrowd": 0} for i in np.unique(ids)]
    return "prediction", ids, segments


def encode_category_png(category_map: np.ndarray) -> bytes:
    """Encode category ids (H, W) as a grey PNG of 8 bits, or 16 where an id needs them."""
    wide = category_map.max(initial=0) > 255
    return _encode(".png", category_map.astype(np.uint16 if wide else np.uint8))


def encode_jpg(picture: np.ndarray) -> bytes:
    """Encode a picture (H, W, 3) RGB as JPEG, at a quality that keeps text readable."""
    return _encode(".jpg", picture[..., ::-1], cv2.IMWRITE_JPEG_QUALITY, 92)


def _encode(extension: str, pixels: np.ndarray, *options: int) -> bytes:
    encoded, buffer = cv2.imencode(extension, pixels, options)
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode a {extension} of shape {pixels.shape}")
    return buffer.tobytes()
