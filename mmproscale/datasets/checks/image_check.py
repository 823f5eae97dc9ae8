"""Check of each image, its PNG and its masks, by several processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice

import cv2
from PIL import Image

from mmproscale.datasets.checks.instance_faults import mask_faults
from mmproscale.datasets.checks.png_faults import SegmentMap, map_segments, segment_faults
from mmproscale.datasets.formats.images import (
    SIDEWAYS,
    UPRIGHT,
    exif_orientation,
    image_faults,
    size_faults,
)
from mmproscale.datasets.formats.panoptic_png import read_png_or_fault
from mmproscale.errors import InputError
from mmproscale.utils.faults import Fault

# Images handed to each process at a time: this bounds the memory.
AT_ONCE = 64
CHUNK = 8


@dataclass(frozen=True)
class ImageTask:
    """Image to read, with its entries in the JSON.

    Args:
        img_path: the image; None to leave out an image that is known to be missing.
        height: height in the JSON, in pixels.
        width: width in the JSON, in pixels.
        png_path: the panoptic PNG, if there is one to read.
        segments: segments of the image; `area` and `bbox` are compared if they are present.
        ann_file: the JSON, for messages about `objects`.
        objects: instances: the place of each in the JSON, and its dict.
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
    """Faults of one image, and numbers of its PNG's pixels: all, void, and of crowds."""

    faults: list[Fault]
    pixels: int = 0
    void: int = 0
    crowd: int = 0


def check_image(task: ImageTask) -> ImageFindings:
    """Read one image, its PNG and its masks."""
    found = ImageFindings(list(_image_faults(task)))
    for record, annotation in task.objects:
        if not annotation.get("segmentation"):  # a box only, which the JSON's check accepted
            continue
        found.faults += mask_faults(annotation, task.height, task.width, task.ann_file, record)
    if task.png_path is None:
        return found
    ids = read_png_or_fault(task.png_path)
    if isinstance(ids, Fault):
        found.faults.append(ids)
        return found
    stated = (task.height, task.width)
    wrong_size = list(size_faults("png", task.png_path, ids.shape, stated, "its image in the JSON"))
    if wrong_size:  # areas and boxes would differ for the same reason
        found.faults += wrong_size
        return found
    segments = map_segments(ids, [segment["id"] for segment in task.segments])
    found.faults += segment_faults(ids, segments, task.segments, task.png_path)
    _count_pixels(task, segments, found)
    return found


def _image_faults(task: ImageTask) -> Iterator[Fault]:
    if task.img_path is not None:
        faults = list(image_faults(task.img_path, (task.height, task.width)))
        yield from faults or _turn_notes(task.img_path, task.height == task.width)


def _turn_notes(path: str, is_square: bool) -> Iterator[Fault]:
    """Note an image that Exif turns, unless its size shows that its annotations are upright too."""
    try:
        with Image.open(path) as image:
            turn = exif_orientation(image)
    except (OSError, SyntaxError, ValueError):  # OpenCV read it
        return
    if turn != UPRIGHT and (is_square or turn not in SIDEWAYS):
        problem = f"(image) has EXIF orientation {turn}: training turns it upright"
        action = "check that the annotations fit the upright image, or store its pixels upright"
        yield Fault("image-turned", path, "", problem, action, note=True)


def _count_pixels(task: ImageTask, segments: SegmentMap, found: ImageFindings) -> None:
    found.pixels, found.void = segments.places.size, int(segments.areas[0])
    for place, segment in enumerate(task.segments, start=1):
        if segment.get("iscrowd"):
            found.crowd += int(segments.areas[place])


def check_images(tasks: Iterable[ImageTask], workers: int = 1) -> Iterator[ImageFindings]:
    """Yield the findings of each image, in the order of `tasks`.

    Args:
        tasks: the images; an iterator is read a few at a time.
        workers: number of processes; 1 checks in this process.

    Raises:
        InputError: a process was killed, perhaps because memory ran out.
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
            f"one of {workers} processes was killed, perhaps out of memory: use fewer --workers"
        ) from None


def _quiet_worker() -> None:
    cv2.setNumThreads(0)  # processes share the cores already
