"""Convert Cityscapes to COCO's panoptic format: gtFine/cityscapes_panoptic_SPLIT.json and PNGs."""

import mmproscale  # noqa: F401  (checks versions before OpenMMLab is imported)
from mmproscale.cli.command_line import command_line
from mmproscale.cli.conversion import convert_public_dataset, parse_public_args


@command_line
def main() -> None:
    """Convert the splits that do not exist yet."""
    args = parse_public_args(__doc__, "folder with leftImg8bit and gtFine")
    from mmproscale.datasets.conversion.cityscapes import cityscapes_destination, prepare_cityscapes

    convert_public_dataset(args, cityscapes_destination, prepare_cityscapes)


if __name__ == "__main__":
    main()
