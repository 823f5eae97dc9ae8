"""Draw a figure of what a model does, as a paper would print it.

Figures, and what they take:

compute CONFIG...                    share of compute by part (PRO-SCALE, Fig. 1b)
similarity [CONFIG] CHECKPOINT       redundancy of tokens by level (PRO-SCALE, Fig. F1)
gates [CONFIG] CHECKPOINT            token recalibration over an image (PRO-SCALE, Fig. F2)
exits [CONFIG] CHECKPOINT            exits that images take, with examples (ECO-M2F, Fig. 2)
prototypes [CONFIG] CHECKPOINT       tokens that PEM picks for the best queries of an image
masks [CONFIG] CHECKPOINT            predictions of one or two models next to the ground truth
confusion [CONFIG] CHECKPOINT        confusion of segments, with merges and splits
classes [CONFIG] CHECKPOINT          PQ by class, and of things by size
errors [CONFIG] CHECKPOINT           AP lost by kind of error (TIDE)
frontier METRICS.json...             quality against cost of tested models

The curves of trainings are drawn by: mmproscale curve WORK_DIR...
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.cli.command_line import add_cfg_options, at_least, command_line, make_parser
from mmproscale.errors import InputError
from mmproscale.reports.evaluation_options import (
    add_evaluation_options,
    check_evaluation_options,
    open_evaluation,
)

OF_FILES = ("masks", "confusion", "classes", "errors")
INSIDE = ("similarity", "gates", "exits", "prototypes")
ALL = ("compute", *INSIDE, *OF_FILES, "frontier")


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = make_parser(__doc__)
    parser.add_argument("figure", choices=ALL, metavar="FIGURE", help=", ".join(ALL))
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="as listed above")
    add_evaluation_options(parser)
    parser.add_argument(
        "--most", type=at_least(1), default=100, help="images that are looked at; default: 100"
    )
    parser.add_argument("--out", type=Path, help="PNG, PDF or SVG; default: FIGURE.png")
    add_cfg_options(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    """Draw the figure."""
    args = parse_args()
    args.out = args.out or Path(f"{args.figure}.png")
    if args.figure in OF_FILES:
        check_evaluation_options(args, args.inputs)
        draw: Callable[[Namespace], Path] = of_evaluation
    else:
        draw = {"compute": compute, "frontier": frontier}.get(args.figure, inside)
    print(f"written to {draw(args)}")


def compute(args: Namespace) -> Path:
    """Draw the cost of configs by part."""
    from mmproscale.cost.cost_report import own_size
    from mmproscale.cost.model_cost import build_network, model_cost
    from mmproscale.cost.random_model import load_any_config
    from mmproscale.reports.plots import draw_compute

    if not args.inputs:
        raise InputError("analyze compute needs CONFIG...")
    configs = {Path(name).stem: load_any_config(name) for name in args.inputs}
    size = own_size(next(iter(configs.values())))
    models: dict[str, dict[str, float]] = {}
    for name, config in configs.items():
        parts: dict[str, float] = {}
        for part in model_cost(build_network(config), size).parts:
            kind = "encoder" if part.name.startswith("encoder") else part.name
            parts[kind] = parts.get(kind, 0.0) + part.macs / 1e9
        models[name] = parts
    return draw_compute(args.out, models)


def inside(args: Namespace) -> Path:
    """Draw values inside a model while it predicts."""
    from itertools import islice

    from mmproscale.inference.image_sources import input_images, read_image
    from mmproscale.inference.predictor import Segmenter
    from mmproscale.reports import inside_model as values
    from mmproscale.reports import plots

    if not 1 <= len(args.inputs) <= 2 or not args.images:
        raise InputError(f"analyze {args.figure} needs [CONFIG] CHECKPOINT --images SOURCE")
    images = list(islice(input_images(args.images), args.most))
    if not images:
        raise InputError(f"{args.images} has no image")
    model = Segmenter(*args.inputs)
    rgb = [read_image(image)[..., ::-1] for image in images[:1]]
    if args.figure == "similarity":
        found = values.token_similarity(model, images)
        return plots.draw_similarity(args.out, found, len(images))
    if args.figure == "gates":
        return plots.draw_gates(args.out, rgb[0], values.recalibration_gates(model, images[0]))
    if args.figure == "prototypes":
        picked = values.prototypes_of(model, images[0])
        return plots.draw_prototypes(args.out, rgb[0], picked, model.classes)
    known, exits = values.exits_of(model, images)
    examples: dict[int, Any] = {}
    for image, exit_ in zip(images, exits, strict=True):
        if exit_ not in examples:
            examples[exit_] = read_image(image)[..., ::-1]
    return plots.draw_exits(args.out, exits, known, examples)


def of_evaluation(args: Namespace) -> Path:
    """Draw what is wrong with the predictions of one or two models."""
    from mmproscale.reports import evaluation_figures

    found = open_evaluation(args, args.inputs)
    return getattr(evaluation_figures, f"{args.figure}_figure")(found, args.out, args.most)


def frontier(args: Namespace) -> Path:
    """Draw PQ, mIoU or AP of ``metrics.json`` files against the cost of their configs."""
    from mmproscale.reports.evaluation_figures import read_tested_model
    from mmproscale.reports.plots import draw_frontier

    if not args.inputs:
        raise InputError("analyze frontier needs METRICS.json...: tools/test.py writes them")
    tested = [read_tested_model(Path(file)) for file in args.inputs]
    names = {one.quality for one in tested}
    if len(names) > 1:
        raise InputError(f"the files have different figures: {', '.join(sorted(names))}")
    points = {one.name: (one.gmacs, one.percent) for one in tested}
    return draw_frontier(args.out, points, names.pop())


if __name__ == "__main__":
    main()
