"""Options of tools that compare one or two models with a panoptic ground truth."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmproscale.checkpoints.model_config import check_source, load_config_for
from mmproscale.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmengine.config import Config

    from mmproscale.evaluation.ground_truth import PanopticGroundTruth
    from mmproscale.reports.compared_image import ComparedImage, Source


def add_evaluation_options(parser: ArgumentParser) -> None:
    """Add the options that name predictions, ground truth and photographs."""
    parser.add_argument("--predictions", metavar="PRED.json", help="instead of a model")
    parser.add_argument(
        "--against", metavar="FILE", help="second model: a checkpoint of the same config, or a JSON"
    )
    parser.add_argument("--truth", metavar="GT.json", help="default: that of the config's metric")
    parser.add_argument("--truth-dir", metavar="DIR", help="its PNGs; default: GT without .json")
    parser.add_argument("--images", metavar="DIR", help="default: that of the config's test data")


def check_evaluation_options(args: Namespace, model: list[str]) -> None:
    """Check that the options name one source of predictions, and all files of it.

    Args:
        args: Options of :func:`add_evaluation_options`.
        model: Config and checkpoint, or a checkpoint; empty with ``--predictions``.

    Raises:
        InputError: They don't.
    """
    if bool(model) == bool(args.predictions) or len(model) > 2:
        raise InputError("give [CONFIG] CHECKPOINT, or --predictions PRED.json")
    if args.predictions and not (args.truth and args.images):
        raise InputError("--predictions needs --truth GT.json and --images DIR")
    if args.against and not args.against.endswith(".json"):
        check_source(args.against)
        if args.predictions:
            raise InputError("--against CHECKPOINT needs a config: give CONFIG CHECKPOINT first")


@dataclass(frozen=True)
class Evaluation:
    """Ground truth, photographs, and one or two models.

    Attributes:
        truth: The ground truth.
        images: Folder of the photographs.
        models: Names of the models.
        sources: Their predictions.
    """

    truth: PanopticGroundTruth
    images: str
    models: list[str]
    sources: list[Source]

    @property
    def name(self) -> str:
        """Name of the ground truth's file and number of its images."""
        return f"{self.truth.ann_file.stem}: {len(self.truth.annotations)} images"

    def compared_images(self, most: int | None = None) -> Iterator[ComparedImage]:
        """Yield the images, or some that are spread evenly, with a progress bar."""
        from mmproscale.reports.compared_image import compared_images
        from mmproscale.utils.progress import progress_bars

        found = compared_images(self.truth, self.sources, self.images, most)
        with progress_bars() as bars:
            total = min(most or len(self.truth.annotations), len(self.truth.annotations))
            yield from bars.track(found, total=total, description="images")


def open_evaluation(args: Namespace, model: list[str]) -> Evaluation:
    """Read the files of :func:`check_evaluation_options`, and build the models.

    Raises:
        InputError: A file is missing or has a fault; the config does not say where a file is.
    """
    from mmproscale.evaluation.ground_truth import PanopticGroundTruth

    config = None
    if model:
        config = load_config_for(model[0] if len(model) == 2 else None, model[-1], args.cfg_options)
    json_file, folder, images = _files(args, config)
    truth = PanopticGroundTruth(json_file, folder)
    given = [file for file in (args.predictions or model[-1], args.against) if file]
    sources = [_source(file, config, truth) for file in given]
    names = [Path(file).stem for file in given]
    return Evaluation(truth, images, names if len(set(names)) == len(names) else given, sources)


def _files(args: Namespace, config: Config | None) -> tuple[str, str | None, str]:
    """Return JSON and folder of the ground truth, and the folder of photographs."""
    if config is None:
        return args.truth, args.truth_dir, args.images
    metrics = config.get("test_evaluator") or {}
    metric = metrics[0] if isinstance(metrics, list) else metrics
    dataset = config.get("test_dataloader", {}).get("dataset", {})
    image_prefix = dataset.get("data_prefix", {}).get("img")
    if not args.truth and not {"ann_file", "seg_prefix"} <= set(metric):
        raise InputError(f"{config.filename} has no panoptic metric: give --truth GT.json")
    if not (args.images or image_prefix):
        raise InputError(f"{config.filename} has no folder of test images: give --images DIR")
    json_file = args.truth or metric["ann_file"]
    folder = args.truth_dir or (None if args.truth else metric["seg_prefix"])
    images = args.images or str(Path(dataset.get("data_root") or "") / image_prefix)
    return json_file, folder, images


def _source(file: str, config: Config | None, truth: PanopticGroundTruth) -> Source:
    """Return the predictions of a JSON, or of a checkpoint of the config's model."""
    from mmproscale.evaluation.stored_predictions import PanopticResults
    from mmproscale.inference.predictor import Segmenter
    from mmproscale.reports.compared_image import from_files, from_model

    if file.endswith(".json"):
        return from_files(PanopticResults(file, None, truth))
    return from_model(Segmenter(config, file, kinds=("panoptic",)), truth)
