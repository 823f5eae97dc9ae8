"""Write a report of an evaluation: one HTML file with figures, confusion and all images.

mmproscale report CONFIG CHECKPOINT               # on its test images; CONFIG as for predict
mmproscale report CONFIG CHECKPOINT --against OTHER_CHECKPOINT
mmproscale report --predictions PRED.json --truth GT.json --images photos/

The file needs no network and no other file. Ground truth and predictions are COCO panoptic: a JSON,
and a folder of PNGs next to it with its name without .json.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.checkpoints.model_config import check_source, load_config_for
from mmproscale.cli.command_line import add_cfg_options, command_line, make_parser
from mmproscale.errors import InputError

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmproscale.evaluation.ground_truth import PanopticGroundTruth
    from mmproscale.reports.compared_image import Source


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "model", nargs="*", metavar="[CONFIG] CHECKPOINT", help="model whose predictions to show"
    )
    parser.add_argument("--predictions", metavar="PRED.json", help="instead of a model")
    parser.add_argument(
        "--against", metavar="FILE", help="second model: a checkpoint of the same config, or a JSON"
    )
    parser.add_argument("--truth", metavar="GT.json", help="default: that of the config's metric")
    parser.add_argument("--truth-dir", metavar="DIR", help="its PNGs; default: GT without .json")
    parser.add_argument("--images", metavar="DIR", help="default: that of the config's test data")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="file to write")
    parser.add_argument("--title", help="heading; default: the name of the ground truth")
    add_cfg_options(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    """Compare every image, and write the report."""
    args = parse_args()
    check(args)
    config = None if args.predictions else load_config_for(*named(args), args.cfg_options)
    # Imported only now: torch takes seconds to import, and a wrong path should fail at once.
    from mmproscale.evaluation.ground_truth import PanopticGroundTruth
    from mmproscale.reports.compared_image import compared_images
    from mmproscale.reports.html_report import write_report
    from mmproscale.utils.progress import progress_bars

    json_file, folder, images = files_of(args, config)
    truth = PanopticGroundTruth(json_file, folder)
    given = [file for file in (args.predictions or args.model[-1], args.against) if file]
    sources = [source_of(file, config, truth) for file in given]
    title = args.title or f"{Path(json_file).stem}: {len(truth.annotations)} images"
    with progress_bars() as bars:
        found = compared_images(truth, sources, images)
        tracked = bars.track(found, total=len(truth.annotations), description="images")
        write_report(args.out, title, names_apart(given), truth.categories, tracked)
    print(
        f"written to {args.out} ({args.out.stat().st_size / 2**20:.1f} MiB): open it in a browser"
    )


def check(args: Namespace) -> None:
    """Check that the options name one source of predictions, and all files of it.

    Raises:
        InputError: They don't.
    """
    if bool(args.model) == bool(args.predictions) or len(args.model) > 2:
        raise InputError("give [CONFIG] CHECKPOINT, or --predictions PRED.json")
    if args.predictions and not (args.truth and args.images):
        raise InputError("--predictions needs --truth GT.json and --images DIR")
    if args.against and not args.against.endswith(".json"):
        check_source(args.against)
        if args.predictions:
            raise InputError("--against CHECKPOINT needs a config: give CONFIG CHECKPOINT first")


def named(args: Namespace) -> tuple[str | None, str]:
    """Return config, if one is named, and checkpoint."""
    return (args.model[0] if len(args.model) == 2 else None), args.model[-1]


def files_of(args: Namespace, config: Config | None) -> tuple[str, str | None, str]:
    """Return JSON and folder of the ground truth, and the folder of photographs.

    Raises:
        InputError: An option is missing, and the config does not know it.
    """
    if config is None:
        return args.truth, args.truth_dir, args.images
    metrics = config.get("test_evaluator") or {}
    metric = metrics[0] if isinstance(metrics, list) else metrics
    dataset = config.get("test_dataloader", {}).get("dataset", {})
    image_prefix = dataset.get("data_prefix", {}).get("img")
    json_file = args.truth or metric.get("ann_file")
    if not json_file or ("seg_prefix" not in metric and not args.truth):
        raise InputError(f"{config.filename} has no panoptic metric: give --truth GT.json")
    if not (args.images or image_prefix):
        raise InputError(f"{config.filename} has no folder of test images: give --images DIR")
    folder = args.truth_dir or (None if args.truth else metric.seg_prefix)
    images = args.images or str(Path(dataset.get("data_root") or "") / image_prefix)
    return json_file, folder, images


def source_of(file: str, config: Config | None, truth: PanopticGroundTruth) -> Source:
    """Return the predictions of a JSON, or of a checkpoint of the config's model."""
    from mmproscale.evaluation.stored_predictions import PanopticResults
    from mmproscale.inference.predictor import Segmenter
    from mmproscale.reports.compared_image import from_files, from_model

    if file.endswith(".json"):
        return from_files(PanopticResults(file, None, truth))
    return from_model(Segmenter(config, file, kinds=("panoptic",)), truth)


def names_apart(files: list[str]) -> list[str]:
    """Return the files' names, with their folders if the names are equal."""
    names = [Path(file).stem for file in files]
    return names if len(set(names)) == len(names) else files


if __name__ == "__main__":
    main()
