"""Generate Shapes, a small panoptic dataset in COCO format that trains on a CPU."""

import argparse

from mmproscale.cli.command_line import command_line
from mmproscale.cli.conversion import make_shapes_with_progress
from mmproscale.datasets.shapes.generation import ShapesSpec


def parse_args() -> argparse.Namespace:
    """Return the command line's options."""
    default = ShapesSpec()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="data/shapes", help="folder of the dataset")
    parser.add_argument("--train", type=int, default=default.train, help="training images")
    parser.add_argument("--val", type=int, default=default.val, help="validation images")
    parser.add_argument("--size", type=int, default=default.size, help="side of an image in pixels")
    parser.add_argument("--seed", type=int, default=default.seed, help="seed of the random numbers")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a Shapes dataset made with other options"
    )
    return parser.parse_args()


@command_line
def main() -> None:
    """Generate the dataset unless it exists."""
    args = parse_args()
    spec = ShapesSpec(train=args.train, val=args.val, size=args.size, seed=args.seed)
    make_shapes_with_progress(args.out, spec, args.overwrite)


if __name__ == "__main__":
    main()
