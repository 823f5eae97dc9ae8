"""Predict segments or boxes in images, and write COCO's JSON and PNGs, and pictures."""

from argparse import Namespace
from pathlib import Path

import mmproscale  # noqa: F401  (checks versions before OpenMMLab is imported)
from mmproscale.checkpoints.model_config import building_for, config_in_header, load_config_for
from mmproscale.cli.command_line import MixedParser, add_cfg_options, add_model, command_line
from mmproscale.errors import InputError
from mmproscale.inference.image_views import add_view_options, views_from_options
from mmproscale.utils.image_inputs import find_images, image_ids, result_names
from mmproscale.utils.progress import progress_bars


def parse_args() -> Namespace:
    parser = MixedParser(description=__doc__)
    add_model(parser, "config that the checkpoint was trained with")
    parser.add_argument(
        "images", metavar="IMAGES", help="image, folder of images, or quoted glob pattern"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--device", help="cpu or cuda; by default the GPU if there is one")
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=["panoptic", "semantic", "instance"],
        help="results to write, all from one forward pass; by default those that the model is for",
    )
    parser.add_argument("--no-pictures", action="store_true", help="write PNGs and JSON only")
    add_view_options(parser)
    add_cfg_options(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    views = views_from_options(args)
    if args.config is None:
        config_in_header(args.checkpoint)
    paths = find_images(args.images)
    names = result_names(paths)
    # Imported late: it takes seconds, and a wrong path should be reported at once.
    from mmproscale.inference.prediction_files import PredictionFolder
    from mmproscale.inference.predictor import Predictor

    cfg = load_config_for(args.config, args.checkpoint, args.cfg_options)
    with building_for(args.checkpoint, args.config):
        predictor = Predictor(cfg, args.checkpoint, args.device, args.kinds, views)
    results = PredictionFolder(
        args.out, predictor.categories, not args.no_pictures, predictor.kinds
    )
    unreadable = predict_all(predictor, results, paths, names)
    if len(results):
        print(f"{len(results)} of {len(paths)} images are in {results.finish()}")
    if unreadable:
        raise InputError(summary(unreadable, len(paths)))


def predict_all(predictor, results, paths: list[Path], names: list[str]) -> list[InputError]:
    """Predict and write every image; return the errors of those that can't be read."""
    unreadable = []
    with progress_bars() as bar:
        task = bar.add_task("images", total=len(paths))
        for path, name, image_id in zip(paths, names, image_ids(names), strict=True):
            try:
                prediction = predictor.predict(path)
            except InputError as error:
                unreadable.append(error)
            else:
                results.add(prediction, name, image_id)
            bar.advance(task)
    return unreadable


def summary(unreadable: list[InputError], total: int) -> str:
    """Return one line about the images that failed."""
    if total == 1:
        return str(unreadable[0])
    return f"{len(unreadable)} of {total} images failed; the first: {unreadable[0]}"


if __name__ == "__main__":
    main()
