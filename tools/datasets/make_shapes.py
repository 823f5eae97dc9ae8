"""Generate Shapes, a small panoptic dataset in COCO format that trains on a CPU."""

import argparse

from mmproscale.cli.command_line import command_line
from mmproscale.datasets.shapes.shapes import ShapesSpec, make_shapes
from mmproscale.utils.progress import bars_by_name


def parse_args() -> argparse.Namespace:
    """Return the command line's options."""
    default = ShapesSpec()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="data/shapes", help="folder of the dataset")
    parser.add_argument("--train", type=int, default=default.train, help="training images")
    parser.add_argument("--val", type=int, default=default.val, help="validation images")
    parser.add_argument("--size", type=int, default=default.size, help="side of an image, pixels")
    parser.add_argument("--seed", type=int, default=default.seed, help="of the random numbers")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a Shapes of other options"
    )
    return parser.parse_args()


@command_line
def main() -> None:
    """Generate the dataset, or say that it is there."""
    args = parse_args()
    spec = ShapesSpec(train=args.train, val=args.val, size=args.size, seed=args.seed)
    with bars_by_name() as show:
        made = make_shapes(args.out, spec, args.overwrite, progress=show)
    print(f"{'made' if made else 'already there:'} {args.out}: {spec.train} + {spec.val} images")


if __name__ == "__main__":
    main()
