"""Files of predictions: COCO's JSON and PNGs, and pictures. No file is left half written."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.formats.panoptic_png import encode_png
from mmproscale.inference.encoded_images import encode_category_png, encode_jpg
from mmproscale.inference.results import Result
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
    - ``pictures/NAME.jpg`` for people: the panoptic result, or else that of another kind
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
        self.pictures = pictures
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._detections: list[dict[str, Any]] = []
        subfolders = [kind for kind in kinds if kind not in DETECTIONS]
        for name in subfolders + ["pictures"] * self.pictures:
            ensure_writable_dir(self.folder / name)

    def add(self, result: Result, image_id: int) -> None:
        """Write one image's PNGs and picture under its name; keep the JSONs' content."""
        height, width = result.image.shape[:2]
        if result.panoptic is not None:
            png = self.folder / "panoptic" / f"{result.name}.png"
            atomic_write_bytes(png, encode_png(result.panoptic))
            self._annotations.append({"image_id": image_id, **result.to_coco("panoptic")})
        if result.semantic is not None:
            semantic = encode_category_png(result.category_map())
            atomic_write_bytes(self.folder / "semantic" / f"{result.name}.png", semantic)
        if self.pictures:
            picture = encode_jpg(np.asarray(result.plot()))
            atomic_write_bytes(self.folder / "pictures" / f"{result.name}.jpg", picture)
        if result.instances is not None:
            found = result.instances.to_coco()
            self._detections += [{"image_id": image_id, **one} for one in found]
        file_name = str(result.path or result.name)
        self._images.append(
            {"id": image_id, "file_name": file_name, "height": height, "width": width}
        )

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
