"""Predict segments or boxes in images and videos: COCO's JSON and PNGs, and pictures."""

import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable
from itertools import chain
from typing import Any

import mmproscale  # noqa: F401  (checks versions before OpenMMLab is imported)
from mmproscale.checkpoints.model_config import (
    building_for,
    check_source,
    is_checkpoint,
    load_config_for,
)
from mmproscale.cli.command_line import (
    MixedParser,
    add_cfg_options,
    add_model,
    add_precision,
    at_least,
    command_line,
    positive,
)
from mmproscale.errors import InputError
from mmproscale.inference.export_info import is_exported
from mmproscale.inference.image_views import add_view_options, views_from_options
from mmproscale.utils.image_inputs import expand_inputs, image_ids, result_names
from mmproscale.utils.progress import progress_bars
from mmproscale.utils.stop_signals import stop_requested, stops_deferred

SOME_FAILED = 3
"""Exit status where some images could not be read."""


def parse_args() -> Namespace:
    parser = MixedParser(description=__doc__)
    add_model(parser, "config that the checkpoint was trained with")
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="images, folders of images, quoted glob patterns, @FILE with one of these on each "
        "line, videos, or the index of a webcam",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--device", help="cpu or cuda; by default the GPU if there is one")
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=["panoptic", "semantic", "instance"],
        help="results to write, all from one forward pass; by default those of the model's task",
    )
    parser.add_argument(
        "--score-thr",
        type=float,
        default=0.0,
        metavar="SCORE",
        help="leave out instances and boxes with a lower score (0..1)",
    )
    parser.add_argument("--no-pictures", action="store_true", help="write PNGs and JSON only")
    parser.add_argument(
        "--truth",
        metavar="JSON",
        help="COCO panoptic ground truth to draw next to predictions; its PNGs are in the folder "
        "of the same name",
    )
    add_precision(parser)
    add_scale_options(parser)
    add_view_options(parser)
    add_cfg_options(parser)
    args = parser.parse_args()
    # argparse takes the first of several words for the config.
    if is_checkpoint(args.config) or is_exported(args.config):
        args.images.insert(0, args.checkpoint)
        args.config, args.checkpoint = None, args.config
    return args


def add_scale_options(parser: ArgumentParser) -> None:
    """Add the options for many or large images, and for videos."""
    parser.add_argument("--batch", type=at_least(1), default=1, help="images at once; default: 1")
    parser.add_argument(
        "--workers", type=at_least(0), default=0, help="processes that read images in advance"
    )
    parser.add_argument(
        "--resume", action="store_true", help="skip images whose results are whole in DIR"
    )
    parser.add_argument(
        "--shard",
        type=shard,
        default=(1, 1),
        metavar="K/N",
        help="predict the K-th of N parts of the images (1/4 to 4/4), into the same DIR",
    )
    parser.add_argument(
        "--tile", type=at_least(1), metavar="PIXELS", help="cut larger images into tiles this large"
    )
    parser.add_argument(
        "--overlap", type=at_least(0), default=128, help="pixels of two tiles that overlap: 128"
    )
    parser.add_argument(
        "--max-megapixels",
        type=positive,
        default=50,
        metavar="N",
        help="refuse larger images that are not cut into tiles; default: 50",
    )
    parser.add_argument("--fps", type=positive, help="frames to take per second of a video")


def shard(text: str) -> tuple[int, int]:
    """Parse K/N for argparse."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ArgumentTypeError(f"{text} is not K/N with K from 1 to N, such as 1/4")
    return int(number), int(count)


@command_line
def main() -> None:
    args = parse_args()
    views = views_from_options(args)
    check_source(args.checkpoint)
    paths, videos = expand_inputs(args.images)
    if videos and args.shard != (1, 1):
        raise InputError(f"--shard is for images, not for a video ({videos[0]})")
    names = result_names(paths)
    source = model_source(args)
    # Imported late: it takes seconds, and a wrong path should be reported at once.
    from mmproscale.inference.image_sources import Video
    from mmproscale.inference.prediction_run import (
        load_frames,
        load_still_images,
        not_done,
        predict_into,
        still_images,
    )

    clips = [Video(video, args.fps) for video in videos]
    frames = [clip.count() for clip in clips]
    folder, predictor = open_folder_and_model(args, source, views)
    ids = image_ids(names) if not videos else range(1, len(names) + 1)
    of_shard = still_images(paths, names, ids, args.shard)
    stills = not_done(of_shard, folder.done, args.batch)
    total = None if None in frames else len(stills) + sum(map(int, frames))
    loaded = load_still_images(stills, args.workers), load_frames(clips, len(paths))
    batches = chain(*(predict_into(folder, predictor, images, args.batch) for images in loaded))
    before = len(folder)
    with stops_deferred():
        failures, rate = run_all(folder, batches, total)
        if not len(folder) and failures:
            raise InputError(summary(failures))
        whole = folder.finish()
        if not args.no_pictures:
            write_videos(folder, clips)
        earlier = f", {before} of them from before" if before else ""
        images = "frames" if clips else f"of {len(of_shard)} images"
        print(f"{len(folder)} {images} are in {args.out}{earlier}; {rate:.1f} images/s")
    if not whole:
        print("the shard that ends last writes the JSON files of all")
    if failures:
        print(f"error: {summary(failures)}", file=sys.stderr)
        sys.exit(SOME_FAILED)


def model_source(args: Namespace) -> tuple[Any, str | None]:
    """Return a predictor's config and checkpoint; an exported file takes the config's place.

    Raises:
        InputError: ``--cfg-options`` of an exported file; as ``load_config_for``.
    """
    if args.config is not None or not is_exported(args.checkpoint):
        return load_config_for(args.config, args.checkpoint, args.cfg_options), args.checkpoint
    if args.cfg_options:
        raise InputError(f"--cfg-options: {args.checkpoint} is an exported file, so export again")
    return args.checkpoint, None


def open_folder_and_model(args: Namespace, source: tuple[Any, str | None], views):
    """Open the folder of results, and build the model.

    Raises:
        InputError: As Predictor and PredictionFolder; ``--truth`` of a model that gives boxes.
    """
    from mmproscale.inference.pictures.panoptic_truth import PanopticTruth
    from mmproscale.inference.prediction_files import PredictionFolder
    from mmproscale.inference.predictor import Predictor

    truth = PanopticTruth(args.truth) if args.truth else None
    options = (args.score_thr, args.tile, args.overlap)
    limits = (int(args.max_megapixels * 1e6), args.precision)
    with building_for(args.checkpoint, args.config):
        predictor = Predictor(*source, args.device, args.kinds, views, *options, *limits)
    if truth and "boxes" in predictor.kinds:
        raise InputError("--truth is for segments, and this model gives boxes: leave it out")
    settings = {
        "config": str(args.config or getattr(source[0], "filename", source[0])),
        "checkpoint": str(args.checkpoint),
        "options": [str(views), *options, args.precision],
        "truth": args.truth,
    }
    form = (predictor.categories, not args.no_pictures, predictor.kinds)
    folder = PredictionFolder(args.out, *form, settings, args.resume, args.shard, truth)
    return folder, predictor


def run_all(
    folder, batches: Iterable[list[InputError]], total: int | None
) -> tuple[list[InputError], float]:
    """Run batches until a signal comes; return the errors and the images per second."""
    before, started, rate = len(folder), time.monotonic(), 0.0
    failures: list[InputError] = []
    with progress_bars() as bars:
        task = bars.add_task("images", total=total)
        for failed in batches:
            failures += failed
            done = len(folder) - before + len(failures)
            rate = done / (time.monotonic() - started)
            bars.update(task, completed=done, description=f"{rate:.1f} images/s")
            if stop_requested():
                break
    return failures, rate


def write_videos(folder, clips) -> None:
    """Write the pictures of each video's frames as DIR/NAME.mp4."""
    from mmproscale.inference.pictures.video import write_video

    for clip in clips:
        pictures = sorted((folder.folder / "pictures").glob(f"{clip.name}-*.jpg"))
        if pictures:
            write_video(folder.folder / f"{clip.name}.mp4", pictures, clip.rate())


def summary(failures: list[InputError]) -> str:
    """Return one line that names the images that failed, at most ten."""
    if len(failures) == 1:
        return str(failures[0])
    named = "; ".join(str(failure) for failure in failures[:10])
    more = f"; and {len(failures) - 10} more" if len(failures) > 10 else ""
    return f"{len(failures)} images failed: {named}{more}"


if __name__ == "__main__":
    main()
