"""Read images and their ground truth, each file once, by several processes; say what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice

import cv2
from PIL import Image

from mmproscale.datasets.checks.faults import Fault
from mmproscale.datasets.checks.instance_faults import mask_faults
from mmproscale.datasets.checks.png_faults import (
    SegmentMap,
    map_segments,
    read_ids,
    segment_faults,
    size_faults,
)
from mmproscale.datasets.loading.exif import SIDEWAYS, UPRIGHT, orientation
from mmproscale.datasets.loading.transforms import LoadImage
from mmproscale.errors import InputError
from mmproscale.utils.processors import usable_cores

# Images that are on their way at a time, for each process: this bounds the memory.
AT_ONCE = 64
CHUNK = 8


@dataclass(frozen=True)
class ImageTask:
    """One image to read, and what the JSON says of it.

    Args:
        img_path: the image; None to leave it unread, where it is known to be missing.
        height: the JSON's, in pixels.
        width: the JSON's, in pixels.
        png_path: the panoptic PNG, if there is one to read.
        segments: its segments, with `area` and `bbox` where these are to be compared.
        ann_file: the JSON, for messages about `objects`.
        objects: instances: where each stands in the JSON, and its dict.
    """

    img_path: str | None
    height: int
    width: int
    png_path: str | None = None
    segments: tuple[dict, ...] = ()
    ann_file: str = ""
    objects: tuple[tuple[str, dict], ...] = ()


@dataclass
class ImageFindings:
    """What one image has: faults, and of its PNG all pixels, void ones and those of crowds."""

    faults: list[Fault]
    pixels: int = 0
    void: int = 0
    crowd: int = 0


def check_image(task: ImageTask) -> ImageFindings:
    """Read one image, its PNG and its masks."""
    found = ImageFindings(list(_image_faults(task)))
    for record, annotation in task.objects:
        found.faults += mask_faults(annotation, task.height, task.width, task.ann_file, record)
    if task.png_path is None:
        return found
    ids = read_ids(task.png_path)
    if isinstance(ids, Fault):
        found.faults.append(ids)
        return found
    stated = (task.height, task.width)
    other_size = [*size_faults("png", task.png_path, ids.shape, stated, "its image in the JSON")]
    if other_size:  # then areas and boxes differ for this reason alone
        found.faults += other_size
        return found
    segments = map_segments(ids, [segment["id"] for segment in task.segments])
    found.faults += segment_faults(ids, segments, task.segments, task.png_path)
    _count_pixels(task, segments, found)
    return found


def _image_faults(task: ImageTask) -> Iterator[Fault]:
    if task.img_path is not None:
        item = dict(img_path=task.img_path, height=task.height, width=task.width)
        loaded = LoadImage().load(item)
        if isinstance(loaded, Fault):
            yield loaded
        else:
            yield from _turn_notes(task.img_path, task.height == task.width)


def _turn_notes(path: str, is_square: bool) -> Iterator[Fault]:
    """An image that Exif turns is loaded upright; mostly its size tells whether it was so drawn."""
    try:
        with Image.open(path) as image:
            turn = orientation(image)
    except (OSError, SyntaxError, ValueError):  # OpenCV read it
        return
    if turn != UPRIGHT and (is_square or turn not in SIDEWAYS):
        problem = f"(image) has EXIF orientation {turn}: training turns it upright"
        action = "see that its annotations fit it so, or store the pixels upright"
        yield Fault("image-turned", path, "", problem, action, note=True)


def _count_pixels(task: ImageTask, segments: SegmentMap, found: ImageFindings) -> None:
    found.pixels, found.void = segments.places.size, int(segments.areas[0])
    for place, segment in enumerate(task.segments, start=1):
        if segment.get("iscrowd"):
            found.crowd += int(segments.areas[place])


def check_images(tasks: Iterable[ImageTask], workers: int = 1) -> Iterator[ImageFindings]:
    """Yield what `check_image` finds, in the order of `tasks`, of which few are held at a time.

    Args:
        tasks: images; an iterator will do.
        workers: processes; 1 for this one alone.

    Raises:
        InputError: a process was killed, as for want of memory.
    """
    if workers <= 1:
        yield from map(check_image, tasks)
        return
    remaining = iter(tasks)
    try:
        with ProcessPoolExecutor(workers, initializer=_quiet_worker) as pool:
            while batch := list(islice(remaining, AT_ONCE * workers)):
                yield from pool.map(check_image, batch, chunksize=CHUNK)
    except BrokenProcessPool:
        raise InputError(
            f"one of {workers} processes was killed, as for want of memory: use fewer --workers"
        ) from None


def _quiet_worker() -> None:
    cv2.setNumThreads(0)  # processes share the cores already


def default_workers(limit: int = 8) -> int:
    """As many processes as this one may use cores, at most `limit`."""
    return min(limit, usable_cores())
