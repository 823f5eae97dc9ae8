"""Images from any source: files, arrays, Pillow, tensors, folders, videos."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.logging import print_log
from PIL import Image, ImageOps

from mmproscale.datasets.formats.images import range_notes
from mmproscale.datasets.loading.transforms import LoadImage
from mmproscale.errors import InputError
from mmproscale.utils.image_inputs import find_images, is_video, result_names

_MANY_PAGES = (".tif", ".tiff", ".gif", ".webp")  # files that can have several pages or frames


@dataclass(frozen=True)
class InputImage:
    """Image that a model will see.

    Attributes:
        name: Names its results.
        path: Its file, or the video's; None for an image in memory.
        pixels: (H, W, 3) BGR uint8, OpenCV's order; None for a file that is still to be read.
    """

    name: str
    path: Path | None = None
    pixels: np.ndarray | None = None


def is_many(source: Any) -> bool:
    """Return True if a source can have more than one image."""
    if isinstance(source, (str, Path)):
        return not Path(source).expanduser().is_file() or is_video(source)
    return isinstance(source, (int, list, tuple)) or getattr(source, "ndim", 0) == 4


def input_images(source: Any, bgr: bool = False) -> Iterator[InputImage]:
    """Return the images of a source, in order; each is read when it is asked for.

    Args:
        source: A path of an image, folder, glob pattern or video; the index of a webcam; an array
            (H, W, 3) uint8, also grey (H, W) or with alpha; a Pillow image; a tensor (3, H, W) or
            (B, 3, H, W), uint8, or float in 0..1; a list of these.
        bgr: True for arrays in OpenCV's order of colours; otherwise they are RGB.

    Raises:
        InputError: The source is of another kind, does not exist or can't be opened.
    """
    if isinstance(source, (list, tuple)):
        return _of_list(source, bgr)
    if isinstance(source, int) and not isinstance(source, bool):
        return Video(source).frames()
    if isinstance(source, (str, Path)):
        return _of_path(source)
    if isinstance(source, torch.Tensor) and source.ndim == 4:
        return _of_list(list(source), bgr)
    return iter([InputImage("image", None, in_memory(source, bgr))])


def _of_list(sources: Sequence[Any], bgr: bool) -> Iterator[InputImage]:
    paths = [Path(s).expanduser() for s in sources if isinstance(s, (str, Path))]
    names = iter(result_names(paths))
    for index, source in enumerate(sources):
        if isinstance(source, (str, Path)):
            yield InputImage(next(names), _existing(Path(source).expanduser()))
        else:
            yield InputImage(f"image-{index:06d}", None, in_memory(source, bgr))


def _of_path(source: str | Path) -> Iterator[InputImage]:
    if "://" in str(source):
        raise InputError(f"{source} is an address: fetch the file and give its path")
    if is_video(source):
        return Video(_existing(Path(source).expanduser())).frames()
    paths = find_images(str(source))
    return map(InputImage, result_names(paths), paths)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path} not found: give the path of an image or video that exists")
    return path


@dataclass(frozen=True)
class Video:
    """Video file or webcam, whose frames are read one by one.

    Args:
        source: A file, or the index of a webcam.
        fps: Frames to take per second of the video; None for all.
    """

    source: str | Path | int
    fps: float | None = None

    @property
    def path(self) -> Path | None:
        """The file; None for a webcam."""
        return None if isinstance(self.source, int) else Path(self.source).expanduser()

    @property
    def name(self) -> str:
        """Beginning of the names of its frames."""
        return f"webcam-{self.source}" if self.path is None else self.path.stem

    def frames(self) -> Iterator[InputImage]:
        """Return its frames, ``NAME-000000`` and so on, in order.

        Raises:
            InputError: It can't be opened, or has no frame that OpenCV can read.
        """
        return self._frames(self._open())

    def _frames(self, capture: cv2.VideoCapture) -> Iterator[InputImage]:
        count = 0
        try:
            every = self._every(capture)
            while capture.grab():
                if count % every == 0:
                    read, pixels = capture.retrieve()
                    if not read:
                        break
                    yield InputImage(f"{self.name}-{count:06d}", self.path, pixels)
                count += 1
        finally:
            capture.release()
        if count == 0:
            raise self._error()

    def rate(self) -> float:
        """Return the frames per second that :meth:`frames` yields; 10 where none are stated."""
        capture = self._open()
        stated = capture.get(cv2.CAP_PROP_FPS) or 10.0
        rate = stated / self._every(capture)
        capture.release()
        return rate

    def count(self) -> int | None:
        """Return the number of frames that :meth:`frames` yields; None where none is stated."""
        if self.path is None:
            return None
        capture = self._open()
        stated = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        every = self._every(capture)
        capture.release()
        return -(-stated // every) if stated > 0 else None

    def _open(self) -> cv2.VideoCapture:
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        capture = cv2.VideoCapture(self.source if self.path is None else str(self.path))
        cv2.utils.logging.setLogLevel(level)
        if not capture.isOpened():
            raise self._error()
        return capture

    def _error(self) -> InputError:
        if self.path is None:
            return InputError(
                f"webcam {self.source} can't be read: give the number of a connected camera, and "
                "close other programs that use it"
            )
        return InputError(f"{self.path} has no frame that OpenCV can read: give another video")

    def _every(self, capture: cv2.VideoCapture) -> int:
        stated = capture.get(cv2.CAP_PROP_FPS)
        return max(1, round(stated / self.fps)) if self.fps and stated > 0 else 1


def read_image(image: InputImage) -> np.ndarray:
    """Return the pixels (H, W, 3) BGR uint8 of an image, read from its file if need be.

    Raises:
        InputError: The file is missing or not an image.
    """
    if image.pixels is not None:
        return image.pixels
    pixels = LoadImage()({"img_path": str(image.path)})["img"]
    for note in range_notes(str(image.path), pixels):
        print_log(str(note), logger="current", level=logging.WARNING)
    if (pages := _pages(str(image.path))) > 1:
        text = f"{image.path} has {pages} pages or frames: only the first is predicted"
        print_log(text, logger="current", level=logging.WARNING)
    return pixels


def _pages(path: str) -> int:
    if not path.lower().endswith(_MANY_PAGES):
        return 1
    with Image.open(path) as image:
        return getattr(image, "n_frames", 1)


def in_memory(image: Any, bgr: bool = False) -> np.ndarray:
    """Return an array, Pillow image or tensor as (H, W, 3) BGR uint8.

    Args:
        image: As for :func:`input_images`.
        bgr: True for an array in OpenCV's order of colours.

    Raises:
        InputError: It is of another type, shape or range.
    """
    if isinstance(image, Image.Image):
        return _of_array(np.asarray(ImageOps.exif_transpose(image).convert("RGB")), bgr=False)
    if isinstance(image, torch.Tensor):
        return _of_tensor(image)
    if isinstance(image, np.ndarray):
        return _of_array(image, bgr)
    raise InputError(
        f"an image of type {type(image).__name__} can't be read: give a path, an array (H, W, 3), "
        "a Pillow image, a tensor (3, H, W) or a list of these"
    )


def _of_array(pixels: np.ndarray, bgr: bool) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.size == 0:
        raise InputError(
            f"an image array of {pixels.dtype}, {pixels.shape}, can't be read: give uint8 in 0..255"
        )
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 1):
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise InputError(f"an image array of shape {pixels.shape} can't be read: give (H, W, 3)")
    colors = pixels[..., :3]  # without alpha
    return np.ascontiguousarray(colors if bgr else colors[..., ::-1])


def _of_tensor(image: torch.Tensor) -> np.ndarray:
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise InputError(f"an image tensor of shape {tuple(image.shape)}: give (3, H, W)")
    if image.is_floating_point():
        low, high = (float(limit) for limit in torch.aminmax(image))
        if not (low >= 0 and high <= 1):
            raise InputError(
                f"an image tensor with values from {low:g} to {high:g}: give floats in 0..1, not "
                "normalised, or uint8"
            )
        image = (image.float() * 255).round().to(torch.uint8)
    return _of_array(image.permute(1, 2, 0).cpu().numpy(), bgr=False)
