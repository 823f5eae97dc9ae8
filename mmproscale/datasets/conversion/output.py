"""Output of the converters: a dataset in COCO's format, written by several processes."""

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
from typing import Any

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
from mmproscale.utils.child_processes import stand_apart, start_fork_server

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PanopticImage:
    """One converted image.

    Args:
        image_id: Its id in the JSON.
        file_name: Its name in the JSON, and in the folder that images are copied to.
        png_name: Name of its PNG below the folder of PNGs.
        ids: (H, W) int32 segment ids, 0 for void.
        meaning: Segment id -> (category id, crowd flag 0 or 1), for every id in ``ids``.
        picture: The image itself, a file or its content; needed where images are copied.
    """

    image_id: int | str
    file_name: str
    png_name: str
    ids: np.ndarray
    meaning: Mapping[int, tuple[int, int]]
    picture: Path | bytes | None = None


@dataclass(frozen=True)
class Destination:
    """Files and folders that one split is written to.

    Args:
        png_folder: Folder of the PNGs; the JSON file lies next to it, with the same name.
        image_folder: Folder that images are copied to; None if they are not copied.
    """

    png_folder: Path
    image_folder: Path | None = None

    @property
    def json_path(self) -> Path:
        """Return the path of the JSON file."""
        return Path(f"{self.png_folder}.json")


@dataclass(frozen=True)
class Conversion:
    """Conversion of one split that is ready to run.

    Args:
        sources: One entry for each image, in the order of the JSON.
        convert_image: Function that converts one source; both can be pickled.
        categories: COCO's ``categories``.
        destination: Files and folders to write.
    """

    sources: Sequence[Any]
    convert_image: Callable[[Any], PanopticImage]
    categories: Sequence[dict[str, Any]]
    destination: Destination


def write_dataset(
    conversion: Conversion, workers: int = 1, progress: Progress | None = None
) -> dict[str, Any]:
    """Convert every source and write the split: first its PNGs, then its JSON.

    An existing JSON is removed first, so a JSON always belongs to the PNGs next to it. The result
    depends only on the sources, not on the number of processes.

    Args:
        conversion: The sources, and the place of the result.
        workers: Number of processes; 1 converts in this process.
        progress: Called as (name, images done, images in all).

    Returns:
        The JSON's content.

    Raises:
        InputError: There is no source, a source has a fault, a file cannot be written, or a process
            was killed.
    """
    sources, destination = conversion.sources, conversion.destination
    if not sources:
        raise InputError(f"no image for {destination.json_path}: nothing was written")
    ensure_writable_dir(destination.png_folder)
    destination.json_path.unlink(missing_ok=True)
    images, annotations = [], []
    write = partial(_write_one, convert=conversion.convert_image, destination=destination)
    for image, annotation in _map(write, sources, workers):
        images.append(image)
        annotations.append(annotation)
        if progress is not None:
            progress(destination.json_path.stem, len(images), len(sources))
    return write_coco_json(destination.json_path, images, annotations, conversion.categories)


def write_coco_json(
    path: Path, images: Sequence[dict], annotations: Sequence[dict], categories: Sequence[dict]
) -> dict[str, Any]:
    """Write COCO's three lists as JSON, and return the content."""
    content = {"images": images, "annotations": annotations, "categories": list(categories)}
    atomic_write_text(path, json.dumps(content))
    return content


def _write_one(
    source: Any, convert: Callable[[Any], PanopticImage], destination: Destination
) -> tuple[dict, dict]:
    """Convert and write one image; return its entries of ``images`` and ``annotations``."""
    made = convert(source)
    if destination.image_folder is not None:
        _copy(made.picture, destination.image_folder / made.file_name)
    atomic_write_bytes(destination.png_folder / made.png_name, encode_png(made.ids))
    height, width = made.ids.shape
    image = {"id": made.image_id, "file_name": made.file_name, "height": height, "width": width}
    segments = describe_segments(made.ids, made.meaning)
    annotation = {"image_id": made.image_id, "file_name": made.png_name, "segments_info": segments}
    return image, annotation


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
    """Yield the results in the order of the sources; several processes work in parallel."""
    if workers < 1:
        raise InputError(f"--workers {workers}: expected at least 1")
    if workers == 1 or len(sources) < 2:
        yield from map(function, sources)
        return
    pool = ProcessPoolExecutor(min(workers, len(sources)), _start_method(), stand_apart)
    try:
        for pending in [pool.submit(function, source) for source in sources]:
            yield pending.result()
    except BrokenProcessPool:
        raise InputError(
            f"one of {workers} processes was killed, perhaps for memory: use fewer (--workers)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start_method() -> multiprocessing.context.BaseContext:
    """Return a start method that does not fork this process: OpenCV's threads do not survive that.

    The fork server imports this module once for all workers; the import takes seconds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    start_fork_server()
    return context


def describe_segments(
    ids: np.ndarray, meaning: Mapping[int, tuple[int, int]]
) -> list[dict[str, Any]]:
    """Return COCO's ``segments_info`` of an id map, by id; ids without pixels are left out.

    Args:
        ids: (H, W) int32 segment ids, 0 for void.
        meaning: Each id but 0 -> (category id, crowd flag 0 or 1).

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
