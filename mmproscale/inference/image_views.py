"""Views of an image for test-time augmentation: command-line options and test pipeline."""

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
        scales: Sizes as multiples of the test pipeline's size. Sorted so that those nearest to 1
            come first; masks are averaged at the size of the first.
        flip: True to add the left-right mirror image of each view.

    Raises:
        InputError: There is no scale, or a scale is not a positive number.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = True

    def __post_init__(self) -> None:
        if not self.scales:
            raise InputError("--scales names no scale: give some (0.75 1 1.25) or leave it out")
        for scale in self.scales:
            if not 0 < scale < math.inf:
                raise InputError(f"--scales {scale:g}: a scale is a positive number, such as 0.75")
        nearest_first = sorted(self.scales, key=lambda scale: abs(math.log(scale)))
        object.__setattr__(self, "scales", tuple(nearest_first))

    def pipeline(self, steps: Sequence[Step]) -> list[Step]:
        """Return a test pipeline that makes the views, by mmcv's ``TestTimeAug``.

        Args:
            steps: The pipeline of a single view; ``PackDetInputs`` is the last step.

        Raises:
            InputError: There are scales other than 1, but no step resizes to a ``scale``.
        """
        *steps, pack = steps
        start = next((i for i, step in enumerate(steps) if _resizes(step)), len(steps))
        resized = [self._scaled(step) for step in steps[start : start + 1]]
        if not resized and self.scales != (1.0,):
            raise InputError("--scales needs a Resize with a scale in the config's test pipeline")
        others = [[step] for step in steps[start + 1 :]]
        chances = (0.0, 1.0) if self.flip else (0.0,)
        mirrored = [dict(type="mmdet.RandomFlip", prob=chance) for chance in chances]
        transforms = [*resized, *others, mirrored, [_with_flip_keys(pack)]]
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


def _with_flip_keys(pack: Step) -> Step:
    """Return the packing step with the flip among its meta keys, as in its default keys."""
    if "meta_keys" not in pack:
        return pack
    missing = [key for key in ("flip", "flip_direction") if key not in pack["meta_keys"]]
    return {**pack, "meta_keys": (*pack["meta_keys"], *missing)}


def add_view_options(parser: ArgumentParser) -> None:
    """Add ``--tta``, which mmdet's tools also have, with ``--scales`` and ``--no-flip``."""
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
        help="with --tta: also average over these multiples of the config's size (0.75 1 1.25)",
    )
    parser.add_argument("--no-flip", action="store_true", help="with --tta: no mirror images")


def views_from_options(args: Namespace) -> ImageViews | None:
    """Return the views given by the options of :func:`add_view_options`; None without ``--tta``.

    Raises:
        InputError: ``--scales`` or ``--no-flip`` without ``--tta``; a bad scale.
    """
    if not args.tta:
        if args.scales is not None or args.no_flip:
            raise InputError("--scales and --no-flip are for test-time augmentation: add --tta")
        return None
    scales = (1.0,) if args.scales is None else tuple(args.scales)
    return ImageViews(scales, flip=not args.no_flip)


def average_over(config: Config, views: ImageViews) -> None:
    """Make the test of a config average over views, as mmdet's ``--tta`` does; changes the config.

    Raises:
        InputError: The model has no masks, or :meth:`ImageViews.pipeline` raises.
    """
    check_averageable(config)
    with DefaultScope.overwrite_default_scope(config.get("default_scope")):
        for dataset in _with_pipelines(config.test_dataloader.dataset):
            dataset.pipeline = views.pipeline(dataset.pipeline)
    config.model = dict(type="mmproscale.UniversalTTA", module=config.model)


def check_averageable(config: Config) -> None:
    """Check that a model's views can be averaged; raise InputError where it has no masks."""
    if "bbox_head" in config.model:
        raise InputError(
            f"--tta merges masks, but a {config.model.type} gives boxes: leave --tta out"
        )


def _with_pipelines(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """Yield a dataset's config; for a wrapper such as ConcatDataset, the configs in it."""
    if "pipeline" in dataset:
        yield dataset
    for inner in (*dataset.get("datasets", ()), dataset.get("dataset")):
        yield from _with_pipelines(inner) if inner else ()
