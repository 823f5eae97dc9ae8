"""A dataset in COCO's panoptic format, written by several processes, its JSON last."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy import ndimage

from mmproscale.datasets.formats.panoptic_png import VOID, encode_png
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import (
    atomic_path,
    atomic_write_bytes,
    atomic_write_text,
    ensure_writable_dir,
)

Source = TypeVar("Source")
Progress = Callable[[str, int, int], None]
Meaning = Mapping[int, tuple[int, int]]
"""Of a segment id: its category's id, and whether it is a crowd (0 or 1)."""


@dataclass(frozen=True)
class PanopticImage:
    """One converted image.

    Args:
        image: COCO's entry of ``images``: ``id``, ``file_name``, ``height``, ``width``.
        ids: (H, W) int32 segment ids, 0 for void.
        segments: COCO's ``segments_info``.
        png_name: Name of its PNG below the folder of PNGs.
        picture: What the image is copied from, where images are copied: a file or its content.
    """

    image: dict[str, Any]
    ids: np.ndarray
    segments: list[dict[str, Any]]
    png_name: str
    picture: Path | bytes | None = None


@dataclass(frozen=True)
class Destination:
    """Where one split goes.

    Args:
        json_path: The JSON file.
        png_folder: Folder of the PNGs.
        image_folder: Where images are copied to; None if they stay where they are.
    """

    json_path: Path
    png_folder: Path
    image_folder: Path | None = None

    @classmethod
    def of_split(cls, out: str | Path, split: str, copy_images: bool = False) -> Destination:
        """The layout of a folder of one's own: ``annotations/panoptic_SPLIT(.json)``, ``SPLIT``."""
        out = Path(out)
        stem = out / "annotations" / f"panoptic_{split}"
        return cls(Path(f"{stem}.json"), stem, out / split if copy_images else None)

    def check_free(self, overwrite: bool) -> None:
        """Raise InputError where the JSON is there already and may not be replaced."""
        if self.json_path.exists() and not overwrite:
            raise InputError(f"{self.json_path} exists: name another place, or add --overwrite")


def describe_segments(ids: np.ndarray, meaning: Meaning) -> list[dict[str, Any]]:
    """COCO's ``segments_info`` of an id map, by id; what has no pixel is left out.

    Args:
        ids: (H, W) int32; every id but 0 has a meaning.
        meaning: Id -> (category id, crowd).

    Returns:
        Dicts of ``id``, ``category_id``, ``iscrowd``, ``area`` in pixels and ``bbox``, which is
        x, y, width, height in pixels.
    """
    areas = np.bincount(ids.ravel())
    boxes = ndimage.find_objects(ids)
    segments = []
    for segment_id in np.flatnonzero(areas).tolist():
        if segment_id == VOID:
            continue
        rows, columns = boxes[segment_id - 1]
        category_id, is_crowd = meaning[segment_id]
        x, y = columns.start, rows.start
        segments.append(
            {
                "id": segment_id,
                "category_id": category_id,
                "iscrowd": int(is_crowd),
                "area": int(areas[segment_id]),
                "bbox": [x, y, columns.stop - x, rows.stop - y],
            }
        )
    return segments


def write_dataset(
    sources: Sequence[Source],
    convert: Callable[[Source], PanopticImage],
    categories: Sequence[dict[str, Any]],
    destination: Destination,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Convert every source and write the split: its PNGs and, when they are all there, its JSON.

    A JSON that was there is removed first: whenever one is there, its PNGs are its own. What is
    written depends on the sources alone, not on the number of processes.

    Args:
        sources: One for each image; they and ``convert`` can be pickled.
        convert: Makes one image of one source.
        categories: COCO's list.
        destination: Where it goes.
        workers: How many processes; 1 for this one alone.
        progress: Called as (name, images done, images in all).

    Returns:
        The JSON's content.

    Raises:
        InputError: There is no source; what ``convert`` raises; a place that cannot be written; a
            process that was killed.
    """
    if not sources:
        raise InputError(f"no image for {destination.json_path}: nothing was written")
    ensure_writable_dir(destination.png_folder)
    destination.json_path.unlink(missing_ok=True)
    images, annotations = [], []
    one = partial(_convert_one, convert=convert, destination=destination)
    for image, annotation in _map(one, sources, workers):
        images.append(image)
        annotations.append(annotation)
        if progress is not None:
            progress(destination.json_path.stem, len(images), len(sources))
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [dict(category) for category in categories],
    }
    atomic_write_text(destination.json_path, json.dumps(content))
    return content


def _convert_one(
    source: Source, convert: Callable[[Source], PanopticImage], destination: Destination
) -> tuple[dict, dict]:
    made = convert(source)
    if destination.image_folder is not None:
        _copy(made.picture, destination.image_folder / made.image["file_name"])
    atomic_write_bytes(destination.png_folder / made.png_name, encode_png(made.ids))
    annotation = {"image_id": made.image["id"], "file_name": made.png_name}
    return made.image, annotation | {"segments_info": made.segments}


def _copy(picture: Path | bytes | None, target: Path) -> None:
    if isinstance(picture, bytes):
        atomic_write_bytes(target, picture)
    elif picture is not None:
        with suppress(FileNotFoundError):
            if target.samefile(picture):
                return
        with atomic_path(target) as temporary:
            shutil.copyfile(picture, temporary)


def _map(function: Callable, sources: Sequence, workers: int) -> Iterator:
    """``map`` in the order of the sources, in processes of their own if there are several."""
    if workers < 1:
        raise InputError(f"--workers {workers}: it takes at least one process")
    if workers == 1 or len(sources) < 2:
        yield from map(function, sources)
        return
    pool = ProcessPoolExecutor(min(workers, len(sources)), _start_method())
    try:
        for pending in [pool.submit(function, source) for source in sources]:
            yield pending.result()
    except BrokenProcessPool:
        raise InputError(
            f"one of {workers} processes was killed, perhaps for memory: take fewer (--workers)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start_method() -> multiprocessing.context.BaseContext:
    """Forks of a fresh process: OpenCV's threads do not survive a fork of this one.

    That process imports OpenMMLab, which takes seconds, once for all workers.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context
