"""Convert ADEChallengeData2016 to COCO's panoptic format: ade20k_panoptic_SPLIT.json and PNGs."""

import mmproscale  # noqa: F401  (checks versions before OpenMMLab is imported)
from mmproscale.cli.command_line import command_line
from mmproscale.cli.conversion import convert_public_dataset, parse_public_args


@command_line
def main() -> None:
    """Convert the splits that do not exist yet."""
    args = parse_public_args(__doc__, "folder with images, annotations and annotations_instance")
    from mmproscale.datasets.conversion.ade20k import ade20k_destination, prepare_ade20k

    convert_public_dataset(args, ade20k_destination, prepare_ade20k)


if __name__ == "__main__":
    main()
