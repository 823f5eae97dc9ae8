"""Convert a published backbone checkpoint to mmdet's names, so that training can start from it."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import mmproscale  # checks versions before OpenMMLab is imported
from mmproscale.cli.command_line import command_line
from mmproscale.errors import InputError

SOURCES = ("moby", "dino", "swin", "torchvision")


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        "source",
        choices=SOURCES,
        help="moby: MoBY's Swin; dino: DINO's ResNet; swin: official Swin; torchvision: "
        "torchvision's ResNet",
    )
    parser.add_argument("file", type=Path, help="published checkpoint file")
    parser.add_argument("out", type=Path, help="file to write, for the backbone's init_cfg")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    return parser.parse_args()


@command_line
def main() -> None:
    """Convert the file, and print the options for training."""
    args = parse_args()
    check_out(args.out, args.overwrite)
    # Imported only now: torch takes seconds to import, and a wrong path should fail at once.
    import torch

    from mmproscale.checkpoints import backbone_keys
    from mmproscale.checkpoints.read_checkpoint import load_content
    from mmproscale.utils.atomic_files import atomic_path

    source = backbone_keys.SOURCES[args.source]
    weights = backbone_keys.convert_backbone(load_content(args.file), source, args.file)
    meta = {"source": args.source, "file": args.file.name, "mmproscale": mmproscale.__version__}
    with atomic_path(args.out) as temporary:
        torch.save({"state_dict": weights, "meta": meta}, temporary)
    print(f"{len(weights)} weights are in {args.out}; train with --cfg-options", end=" ")
    print(f"model.backbone.init_cfg.checkpoint={args.out}", *source.options)


def check_out(out: Path, overwrite: bool) -> None:
    """Raise InputError if the output has a wrong name or exists."""
    if out.suffix == ".safetensors":
        raise InputError(f"{out}: torch.save writes this file, so give a name that ends in .pth")
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists: give another name, or --overwrite")


if __name__ == "__main__":
    main()
