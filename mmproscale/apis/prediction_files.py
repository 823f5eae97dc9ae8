"""Write predictions as COCO panoptic files and pictures, each of them whole or not at all."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmproscale.apis.predictor import PanopticPrediction
from mmproscale.engine.atomic_files import (
    atomic_write_bytes,
    atomic_write_text,
    ensure_writable_dir,
)
from mmproscale.evaluation.panoptic_format import encode_png
from mmproscale.visualization.panoptic_picture import panoptic_picture


class PredictionFolder:
    """``panoptic.json``, ``panoptic/NAME.png`` and ``pictures/NAME.jpg`` in one folder.

    PNGs and pictures are written as predictions come; the JSON by :meth:`finish`.

    Args:
        folder: Made if it is not there.
        categories: As :class:`~mmproscale.apis.predictor.PanopticPredictor` has them.
        pictures: Whether to draw pictures.

    Raises:
        InputError: The folder can't be written.
    """

    def __init__(
        self, folder: str | Path, categories: Sequence[dict[str, Any]], pictures: bool = True
    ) -> None:
        self.folder = Path(folder)
        self.categories = categories
        self.pictures = pictures
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        ensure_writable_dir(self.folder / "panoptic")
        if pictures:
            ensure_writable_dir(self.folder / "pictures")

    def add(self, prediction: PanopticPrediction, name: str, image_id: int) -> None:
        """Write one prediction's PNG and picture under ``name``."""
        png = f"{name}.png"
        atomic_write_bytes(self.folder / "panoptic" / png, encode_png(prediction.id_map))
        if self.pictures:
            panel = ("prediction", prediction.id_map, prediction.segments)
            picture = panoptic_picture(prediction.image, [panel], self.categories)
            atomic_write_bytes(self.folder / "pictures" / f"{name}.jpg", encode_jpg(picture))
        height, width = prediction.id_map.shape
        file_name = str(prediction.image_path)
        self._images.append(
            {"id": image_id, "file_name": file_name, "height": height, "width": width}
        )
        self._annotations.append(
            {"image_id": image_id, "file_name": png, "segments_info": prediction.segments}
        )

    def finish(self) -> Path:
        """Write the JSON for what was added; return its path."""
        content = {
            "images": self._images,
            "annotations": self._annotations,
            "categories": list(self.categories),
        }
        path = self.folder / "panoptic.json"
        atomic_write_text(path, json.dumps(content))
        return path

    def __len__(self) -> int:
        return len(self._annotations)


def encode_jpg(picture: np.ndarray) -> bytes:
    """A picture (H, W, 3) RGB as JPEG, fine enough for its text."""
    encoded, buffer = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode a JPEG of shape {picture.shape}")
    return buffer.tobytes()
