"""Rewrite the backbone of a published checkpoint under mmdet's names, to start training from."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import mmproscale  # checks versions, before anything of OpenMMLab is imported
from mmproscale.cli.command_line import command_line
from mmproscale.errors import InputError

SOURCES = ("moby", "dino", "swin", "torchvision")


def parse_args() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        "source",
        choices=SOURCES,
        help="moby: MoBY's Swin; dino: DINO's ResNet; swin: official Swin; torchvision: its ResNet",
    )
    parser.add_argument("file", type=Path, help="published checkpoint")
    parser.add_argument("out", type=Path, help="file to write, for the backbone's init_cfg")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    check_out(args.out, args.overwrite)
    # Only now: this import takes seconds, and a wrong path should be answered at once.
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
    """Check that the output can be written, before anything large is read."""
    if out.suffix == ".safetensors":
        raise InputError(f"{out} would be a file of torch.save: give a name that ends in .pth")
    if out.exists() and not overwrite:
        raise InputError(f"{out} is there already: give another name, or --overwrite")


if __name__ == "__main__":
    main()
