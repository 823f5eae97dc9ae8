"""Options of test-time augmentation, and the test pipeline that makes the views they ask for."""

from __future__ import annotations

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import TRANSFORMS, DefaultScope

from mmproscale.errors import InputError
from mmproscale.utils.registered import is_type

Step = dict[str, Any]


@dataclass(frozen=True)
class ImageViews:
    """Views of each image, over which results are averaged.

    Args:
        scales: Sizes as shares of the test pipeline's. The views nearest to 1 come first, and
            masks are averaged at the first one's size.
        flip: Whether each view is also mirrored, left to right.

    Raises:
        InputError: No scale, or one that is not a positive number.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = True

    def __post_init__(self) -> None:
        if not self.scales:
            raise InputError("--scales names no scale: give some, as 0.75 1 1.25, or leave it out")
        for scale in self.scales:
            if not 0 < scale < math.inf:
                raise InputError(f"--scales {scale:g}: a scale is a positive number, as 0.75")
        nearest_first = sorted(self.scales, key=lambda scale: abs(math.log(scale)))
        object.__setattr__(self, "scales", tuple(nearest_first))

    def pipeline(self, steps: Sequence[Step]) -> list[Step]:
        """A test pipeline that makes the views, by mmcv's ``TestTimeAug``, in the default scope.

        Args:
            steps: The pipeline of a single view; ``PackDetInputs`` is the last step.

        Raises:
            InputError: Scales other than 1, and no step that resizes to a ``scale``.
        """
        *steps, pack = steps
        start = next((i for i, step in enumerate(steps) if _resizes(step)), len(steps))
        resized = [self._scaled(step) for step in steps[start : start + 1]]
        if not resized and self.scales != (1.0,):
            raise InputError("--scales needs a Resize with a scale in the config's test pipeline")
        others = [[step] for step in steps[start + 1 :]]
        chances = (0.0, 1.0) if self.flip else (0.0,)
        mirrored = [dict(type="mmdet.RandomFlip", prob=chance) for chance in chances]
        transforms = [*resized, *others, mirrored, [_tell_mirroring(pack)]]
        return [*steps[:start], dict(type="TestTimeAug", transforms=transforms)]

    def _scaled(self, resize: Step) -> list[Step]:
        scale = resize["scale"]
        width, height = (scale, scale) if isinstance(scale, int) else scale
        steps = []
        for scale in self.scales:
            size = round(width * scale), round(height * scale)
            if min(size) < 1:
                raise InputError(f"--scales {scale:g} leaves nothing of {width}x{height} pixels")
            steps.append({**resize, "scale": size})
        return steps


def _resizes(step: Step) -> bool:
    return "scale" in step and is_type(step["type"], TRANSFORMS, "mmengine.Resize")


def _tell_mirroring(pack: Step) -> Step:
    """The packing step, with what a view says of itself; by default it does."""
    if "meta_keys" not in pack:
        return pack
    missing = [key for key in ("flip", "flip_direction") if key not in pack["meta_keys"]]
    return {**pack, "meta_keys": (*pack["meta_keys"], *missing)}


def add_view_options(parser: ArgumentParser) -> None:
    """Add ``--tta``, as mmdet's tools have it, with ``--scales`` and ``--no-flip``."""
    parser.add_argument(
        "--tta",
        action="store_true",
        help="test-time augmentation: average over each image and its mirror image",
    )
    parser.add_argument(
        "--scales",
        nargs="*",
        type=float,
        metavar="SCALE",
        help="with --tta: average over these sizes too, as shares of the config's (0.75 1 1.25)",
    )
    parser.add_argument("--no-flip", action="store_true", help="with --tta: no mirror images")


def asked_views(args: Namespace) -> ImageViews | None:
    """The views that the options of :func:`add_view_options` ask for; None without ``--tta``.

    Raises:
        InputError: ``--scales`` or ``--no-flip`` without ``--tta``; scales that are none.
    """
    if not args.tta:
        if args.scales is not None or args.no_flip:
            raise InputError("--scales and --no-flip are for test-time augmentation: add --tta")
        return None
    scales = (1.0,) if args.scales is None else tuple(args.scales)
    return ImageViews(scales, flip=not args.no_flip)


def average_over(config: Config, views: ImageViews) -> None:
    """Have the test of a config average over views, as mmdet's ``--tta`` does; changed in place.

    Raises:
        InputError: A detector, whose queries have no masks; as :meth:`ImageViews.pipeline`.
    """
    check_averageable(config)
    with DefaultScope.overwrite_default_scope(config.get("default_scope")):
        for dataset in _with_pipelines(config.test_dataloader.dataset):
            dataset.pipeline = views.pipeline(dataset.pipeline)
    config.model = dict(type="mmproscale.UniversalTTA", module=config.model)


def check_averageable(config: Config) -> None:
    """Raise InputError where views can't be averaged: what is merged is queries' masks."""
    if "bbox_head" in config.model:
        raise InputError(f"--tta merges masks, and a {config.model.type} has boxes: leave it out")


def _with_pipelines(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """A dataset's config or, of a wrapper such as ConcatDataset, those in it."""
    if "pipeline" in dataset:
        yield dataset
    for inner in (*dataset.get("datasets", ()), dataset.get("dataset")):
        yield from _with_pipelines(inner) if inner else ()
