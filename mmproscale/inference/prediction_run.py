"""Prediction of many images into a folder: stills, by several readers and in parts, and videos."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

from mmproscale.errors import InputError
from mmproscale.inference.image_sources import InputImage, Video, read_image
from mmproscale.inference.prediction_files import PredictionFolder
from mmproscale.inference.predictor import Predictor
from mmproscale.inference.results import Result

FRAMES_OF_A_VIDEO = 10**7
"""Distance between the numbers of the first frames of two videos: 92 hours at 30 per second."""


@dataclass(frozen=True)
class NumberedImage:
    """Image of a run.

    Attributes:
        place: Number in the order of all images, from 0 on.
        image_id: Id in the JSONs.
        image: The image, with its pixels once it is loaded.
        error: Why it can't be read; None if it can be.
    """

    place: int
    image_id: int
    image: InputImage
    error: InputError | None = None


class StillImages(Dataset):
    """Image files, each read when it is asked for; an error is returned, not raised."""

    def __init__(self, images: Sequence[NumberedImage]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> NumberedImage:
        one = self.images[index]
        try:
            pixels = read_image(one.image)
        except InputError as error:
            return NumberedImage(one.place, one.image_id, one.image, error)
        image = InputImage(one.image.name, one.image.path, pixels)
        return NumberedImage(one.place, one.image_id, image)


def still_images(
    paths: Sequence[Path], names: Sequence[str], ids: Sequence[int], shard: tuple[int, int] = (1, 1)
) -> list[NumberedImage]:
    """Return the images of one part: with ``shard=(k, n)`` every n-th, beginning with the k-th."""
    images = [
        NumberedImage(place, image_id, InputImage(name, path))
        for place, (path, name, image_id) in enumerate(zip(paths, names, ids, strict=True))
    ]
    return images[shard[0] - 1 :: shard[1]]


def not_done(
    images: Sequence[NumberedImage], done: Container[str], batch_size: int
) -> list[NumberedImage]:
    """Return the images of all batches that are not wholly done.

    A batch stays whole, since the last digits of a result depend on the images of its batch.
    """
    batches = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
    left = [batch for batch in batches if any(one.image.name not in done for one in batch)]
    return [one for batch in left for one in batch]


def load_still_images(images: Sequence[NumberedImage], workers: int = 0) -> Iterator[NumberedImage]:
    """Yield images with their pixels, in order; ``workers`` processes read them in advance."""
    loader = DataLoader(
        StillImages(images), batch_size=None, num_workers=workers, collate_fn=_as_it_is
    )
    return iter(loader)


def _as_it_is(image: Any) -> Any:
    return image


def load_frames(videos: Sequence[Video], first: int = 0) -> Iterator[NumberedImage]:
    """Yield the frames of videos, numbered from ``first`` on."""
    for place, video in enumerate(videos):
        for image in video.frames():
            number = first + place * FRAMES_OF_A_VIDEO + int(image.name.rpartition("-")[2])
            yield NumberedImage(number, number + 1, image)


def predict_into(
    folder: PredictionFolder,
    predictor: Predictor,
    images: Iterable[NumberedImage],
    batch_size: int = 1,
) -> Iterator[list[InputError]]:
    """Predict images and write their results; yield the errors of each batch.

    Batches whose results are all in the folder are skipped.

    Args:
        folder: Gets the results that it does not have yet.
        predictor: The model.
        images: Loaded images.
        batch_size: Images that the model sees at once.
    """
    waiting = iter(images)
    while batch := list(islice(waiting, batch_size)):
        failures = [one.error for one in batch if one.error is not None]
        whole = [one for one in batch if one.error is None]
        if all(one.image.name in folder.done for one in whole):
            yield failures
            continue
        for one, result in zip(whole, _predict_each(predictor, whole), strict=True):
            if isinstance(result, InputError):
                failures.append(result)
            elif one.image.name not in folder.done:
                folder.add(result, one.image_id, one.place)
        yield failures


def _predict_each(
    predictor: Predictor, batch: Sequence[NumberedImage]
) -> Sequence[Result | InputError]:
    """Return each image's result, or its error: one image must not stop the others."""
    try:
        return predictor.predict([one.image for one in batch]) if batch else []
    except InputError as error:
        if len(batch) == 1:
            return [error]
        return [one for image in batch for one in _predict_each(predictor, [image])]
