"""Output of the converters: a dataset in COCO's format, written by several processes."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy import ndimage

from mmproscale.datasets.checks.panoptic_faults import panoptic_faults
from mmproscale.datasets.conversion.instance_objects import InstanceImage, numbered_faults
from mmproscale.datasets.conversion.summary import NO_COUNTS, Counts, Summary
from mmproscale.datasets.formats.panoptic_png import VOID, encode_png
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import (
    atomic_folder,
    atomic_path,
    atomic_write_bytes,
    atomic_write_text,
)
from mmproscale.utils.child_processes import stand_apart, start_fork_server

Progress = Callable[[str, int, int], None]
MOST_NOTES = 5  # of the result, that are repeated to a person
T = TypeVar("T")
R = TypeVar("R")


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
        counts: Numbers of the source's shapes; by default segments are counted.
    """

    image_id: int | str
    file_name: str
    png_name: str
    ids: np.ndarray
    meaning: Mapping[int, tuple[int, int]]
    picture: Path | bytes | None = None
    counts: Counts = NO_COUNTS


@dataclass(frozen=True)
class Destination:
    """Files and folders that one split is written to.

    Args:
        png_folder: Folder of the PNGs, if there are any; the JSON file lies next to it, with the
            same name.
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
        notes: Lines on the source that a person should see.
        what: ``'segments'`` of panoptic images; ``'instances'`` or ``'boxes'``, without PNGs.
    """

    sources: Sequence[Any]
    convert_image: Callable[[Any], PanopticImage | InstanceImage]
    categories: Sequence[dict[str, Any]]
    destination: Destination
    notes: Sequence[str] = ()
    what: str = "segments"


def write_dataset(
    conversion: Conversion, workers: int = 1, progress: Progress | None = None
) -> Summary:
    """Convert every source and write the split, all of it or nothing.

    Everything is written into temporary folders and moved at the end, the JSON last. The result
    depends only on the sources, not on the number of processes.

    Args:
        conversion: The sources, and the place of the result.
        workers: Number of processes; 1 converts in this process.
        progress: Called as (name, images done, images in all).

    Raises:
        SourcesError: Sources have faults, or no source has a segment.
        InputError: There is no source, a file cannot be written, or a process was killed.
    """
    sources, destination = conversion.sources, conversion.destination
    if not sources:
        raise InputError(f"no image for {destination.json_path}: nothing was written")
    summary = Summary(conversion.categories, conversion.notes, conversion.what)
    with ExitStack() as stack:
        pngs = None
        if conversion.what == "segments":
            pngs = stack.enter_context(atomic_folder(destination.png_folder))
        folder = destination.image_folder
        copies = stack.enter_context(atomic_folder(folder)) if folder else None
        write = partial(
            _write_one, convert=conversion.convert_image, pngs=pngs, copies=copies, images=folder
        )
        faults: list[str] = []
        for done, made in enumerate(_map(write, sources, workers), start=1):
            if isinstance(made, list):
                faults += made
            else:
                summary.add(*made)
            if progress is not None:
                progress(destination.json_path.stem, done, len(sources))
        if faults:
            raise SourcesError(faults)
        find = panoptic_faults if conversion.what == "segments" else numbered_faults
        found = list(find(summary.content, str(destination.json_path)))
        if faults := [f"[{fault.kind}] {fault}" for fault in found if not fault.note]:
            raise SourcesError(faults)
        summary.notes = [*summary.notes, *(f"note: {note}" for note in found[:MOST_NOTES])]
        destination.json_path.unlink(missing_ok=True)
    atomic_write_text(destination.json_path, json.dumps(summary.content))
    return summary


class SourcesError(InputError):
    """Faults of the sources of a conversion, of which nothing was written.

    Args:
        messages: One line for each fault.
    """

    def __init__(self, messages: Sequence[str]) -> None:
        more = f"; {len(messages) - 1} more faults" if len(messages) > 1 else ""
        super().__init__(messages[0] + more)
        self.messages = list(messages)

    @classmethod
    def of(cls, error: InputError) -> list[str]:
        """Return the lines of an error."""
        return error.messages if isinstance(error, SourcesError) else [str(error)]

    def __reduce__(self) -> tuple[type, tuple[list[str]]]:
        """Let processes hand the error to their parent."""
        return SourcesError, (self.messages,)


def each(function: Callable[[T], R], entries: Iterable[T]) -> list[R]:
    """Return a function's results, or raise the faults of all entries at once.

    Raises:
        SourcesError: The function raised InputError for some entries.
    """
    results, faults = [], []
    for entry in entries:
        try:
            results.append(function(entry))
        except InputError as error:
            faults += SourcesError.of(error)
    if faults:
        raise SourcesError(faults)
    return results


def _write_one(
    source: Any,
    convert: Callable[[Any], PanopticImage | InstanceImage],
    pngs: Path | None,
    copies: Path | None,
    images: Path | None,
) -> tuple[dict, list[dict], Counts] | list[str]:
    """Convert and write one image; return its entries of the JSON and counts, or its faults."""
    try:
        made = convert(source)
    except InputError as error:
        return SourcesError.of(error)
    if copies is not None and images is not None:
        _copy(made.picture, copies / made.file_name, images / made.file_name)
    if isinstance(made, InstanceImage):
        (height, width), objects = made.size, made.objects
        annotations = [{"image_id": made.image_id} | entry for entry in objects]
    else:
        assert pngs is not None
        atomic_write_bytes(pngs / made.png_name, encode_png(made.ids))
        (height, width), objects = made.ids.shape, describe_segments(made.ids, made.meaning)
        named = {"image_id": made.image_id, "file_name": made.png_name}
        annotations = [named | {"segments_info": objects}]
    image = {"id": made.image_id, "file_name": made.file_name, "height": height, "width": width}
    counts = made.counts
    return image, annotations, counts if counts.drawn else replace(counts, drawn=len(objects))


def _copy(picture: Path | bytes | None, temporary: Path, target: Path) -> None:
    if isinstance(picture, bytes):
        atomic_write_bytes(temporary, picture)
    elif picture is not None:
        with suppress(FileNotFoundError):
            if target.samefile(picture):
                return
        with atomic_path(temporary) as path:
            shutil.copyfile(picture, path)


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
