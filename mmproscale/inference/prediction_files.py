"""Files of predictions: COCO's JSON and PNGs, and pictures. No file is left half written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.formats.panoptic_png import encode_png
from mmproscale.inference.encoded_images import check_category_ids, encode_category_png, encode_jpg
from mmproscale.inference.pictures.panoptic_truth import PanopticTruth
from mmproscale.inference.result_log import ResultLog, image_lines, is_whole, write_json
from mmproscale.inference.results import Result
from mmproscale.utils.atomic_files import (
    atomic_write_bytes,
    ensure_writable_dir,
    sweep_temporary_files,
)

DETECTIONS = {"instance": "instances.json", "boxes": "detections.json"}
"""Kind of result -> its file, for the kinds that are COCO's detections."""


class PredictionFolder:
    """Folder of results, which can be continued after an interruption.

    - panoptic: ``panoptic.json``, ``panoptic/NAME.png``
    - semantic: ``semantic/NAME.png``, category ids of the pixels in 8 bits, or 16 for ids from 256
    - instance: ``instances.json``, COCO's detections
    - boxes: ``detections.json``, COCO's detections without masks
    - ``pictures/NAME.jpg`` for people: the panoptic result, or else that of another kind
    - ``images.json``: images and categories, unless ``panoptic.json`` is the only JSON
    - ``results.jsonl``: one line for each image whose files are whole, in the order of the images;
      the other JSONs are made from it

    PNGs, pictures and lines are written by :meth:`add`, the JSONs by :meth:`finish`.

    Args:
        folder: Made if it does not exist.
        categories: Those of a :class:`~mmproscale.inference.predictor.Predictor`.
        pictures: True to draw pictures.
        kinds: Kinds of results that every prediction has.
        settings: What the results depend on, for the first line of ``results.jsonl``.
        resume: Keep the results that are there; otherwise they are written again.
        shard: (number from 1, count) of this part of the images; each part has its own
            ``results.K-of-N.jsonl``, and the last part to end makes the JSONs of all.
        truth: Ground truth that pictures of segments also show.

    Raises:
        InputError: The folder can't be written; results to resume have other settings.
    """

    def __init__(
        self,
        folder: str | Path,
        categories: Sequence[dict[str, Any]],
        pictures: bool = True,
        kinds: Sequence[str] = ("panoptic",),
        settings: dict[str, Any] | None = None,
        resume: bool = False,
        shard: tuple[int, int] = (1, 1),
        truth: PanopticTruth | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.categories = list(categories)
        self.kinds = tuple(kinds)
        self.pictures = pictures
        if "semantic" in kinds:
            check_category_ids(category["id"] for category in self.categories)
        self.shard = shard
        self.truth = truth
        subfolders = [kind for kind in kinds if kind not in DETECTIONS]
        for name in subfolders + ["pictures"] * self.pictures:
            sweep_temporary_files(ensure_writable_dir(self.folder / name))
        sweep_temporary_files(self.folder)
        header = {"kinds": list(kinds), "pictures": pictures, "shards": shard[1]}
        header |= {"categories": self.categories, **(settings or {})}
        self._logs = [ensure_writable_dir(folder) / _log_name(k, shard[1]) for k in _numbers(shard)]
        self._log = ResultLog(self._logs[shard[0] - 1], header, resume)

    @property
    def done(self) -> set[str]:
        """Names of the images whose results are whole."""
        return self._log.names

    def add(self, result: Result, image_id: int, place: int | None = None) -> None:
        """Write one image's PNGs and picture under its name, and then its line.

        Args:
            result: The image's result.
            image_id: Its id in the JSONs.
            place: Its number in the order of all images; by default the number of images so far.
        """
        height, width = result.image.shape[:2]
        image = {"id": image_id, "file_name": str(result.path or result.name)}
        line: dict[str, Any] = {"image": image | {"height": height, "width": width}}
        if result.panoptic is not None:
            png = self.folder / "panoptic" / f"{result.name}.png"
            atomic_write_bytes(png, encode_png(result.panoptic))
            line["panoptic"] = {"image_id": image_id, **result.to_coco("panoptic")}
        if result.semantic is not None:
            semantic = encode_category_png(result.category_map())
            atomic_write_bytes(self.folder / "semantic" / f"{result.name}.png", semantic)
        if self.pictures:
            truth = self.truth.panel(result) if self.truth else None
            picture = encode_jpg(np.asarray(result.plot(truth=truth)))
            atomic_write_bytes(self.folder / "pictures" / f"{result.name}.jpg", picture)
        if result.instances is not None:
            found = result.instances.to_coco()
            line["detections"] = [{"image_id": image_id, **one} for one in found]
        self._log.append(result.name, len(self) if place is None else place, line)

    def finish(self) -> bool:
        """Write the JSONs for all that was added.

        Returns:
            False if another shard is not done yet; then the last one writes the JSONs.
        """
        self._log.end()
        if not all(is_whole(log) for log in self._logs):
            return False
        images = {"images": self._of_lines("image"), "categories": self.categories}
        if "panoptic" in self.kinds:
            annotations = {"annotations": self._of_lines("panoptic")}
            write_json(self.folder / "panoptic.json", images | annotations)
        for kind in DETECTIONS.keys() & {*self.kinds}:
            # COCO's results are a bare list; images.json says which image has which id.
            found = (one for of_image in self._of_lines("detections") for one in of_image)
            write_json(self.folder / DETECTIONS[kind], found)
        if "instance" in self.kinds or "panoptic" not in self.kinds:
            images["images"] = self._of_lines("image")
            write_json(self.folder / "images.json", images)
        return True

    def _of_lines(self, key: str) -> Iterator[Any]:
        """Yield one entry of each image's line; the file is read while they are used."""
        return (line[key] for line in image_lines(self._logs))

    def __len__(self) -> int:
        return len(self._log.names)


def _numbers(shard: tuple[int, int]) -> range:
    return range(1, shard[1] + 1)


def _log_name(number: int, count: int) -> str:
    return "results.jsonl" if count == 1 else f"results.{number}-of-{count}.jsonl"
