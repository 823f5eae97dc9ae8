"""Convert weights between this package and others, and report what was done with every key."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import mmproscale  # checks versions before OpenMMLab is imported
from mmproscale.cli.command_line import ANY_CONFIG, command_line
from mmproscale.errors import InputError

SUFFIXES = (".safetensors", ".pth")


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("source", type=Path, help="file of weights, or a folder of transformers")
    parser.add_argument("out", type=Path, help="file to write: .safetensors or .pth")
    parser.add_argument("--config", help=f"{ANY_CONFIG}; default: the shipped config that fits")
    parser.add_argument("--from", dest="kind", metavar="KIND", help="kind of the source, if wrong")
    parser.add_argument(
        "--partial",
        action="store_true",
        help="write the weights that fit, although others are missing or left over",
    )
    parser.add_argument(
        "--to",
        choices=["hf", "detectron2"],
        help="the other way: write a plain Mask2Former of ours as a folder for transformers (hf), "
        "or as a file for detectron2",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    return parser.parse_args()


@command_line
def main() -> None:
    """Convert the file, print the account, and the options that its model needs."""
    args = parse_args()
    check_out(args)
    # Imported only now: torch takes seconds to import, and a wrong path should fail at once.
    from dataclasses import replace

    from mmproscale.checkpoints.foreign.reading import read_foreign
    from mmproscale.checkpoints.foreign.sources import SOURCES

    file = read_foreign(args.source)
    if args.kind is not None:
        if args.kind not in SOURCES:
            raise InputError(f"--from {args.kind}: known are {', '.join(SOURCES)}")
        file = replace(file, kind=args.kind)
    if args.to:
        export(args, file)
    elif file.kind is not None and SOURCES[file.kind].is_backbone:
        convert_backbone(args, file)
    else:
        convert_model(args, file)


def check_out(args: Namespace) -> None:
    """Raise InputError if the output has a wrong name or exists."""
    if args.to != "hf" and args.out.suffix not in SUFFIXES:
        raise InputError(f"{args.out}: give a name that ends in {' or '.join(SUFFIXES)}")
    if args.out.exists() and not args.overwrite:
        raise InputError(f"{args.out} exists: give another name, or --overwrite")


def convert_model(args, file) -> None:
    """Write the weights of a whole model."""
    from mmproscale.checkpoints.foreign.class_lists import config_metainfo
    from mmproscale.checkpoints.foreign.for_config import (
        apply_settings,
        convert_for_config,
        fitting_config,
        known_kind,
    )
    from mmproscale.checkpoints.warm_start import warm_start
    from mmproscale.checkpoints.weights_file import make_header, save_weights

    kind = known_kind(file)
    name = args.config or fitting_config(file)
    config, options = configured(name, lambda config: apply_settings(config, kind))
    model = model_of(config)
    conversion = convert_for_config(file, config, model.state_dict(), args.partial)
    weights, lines = conversion.weights, conversion.lines()
    if args.partial:
        start = warm_start(model, weights | conversion.unfit)
        weights, lines = start.fitting(model), lines + start.lines(str(args.source))
    header = make_header(config, config_metainfo(config))
    save_weights(args.out, weights, header, source_meta(file))
    print("config:", name)
    print(*lines, sep="\n")
    print(f"{len(weights)} weights are in {args.out}")
    if options and (args.out.suffix != ".safetensors" or header.config is None):
        listed = " ".join(f"{key}={value}" for key, value in options.items())
        print(f"with {name} give --cfg-options {listed}")


def convert_backbone(args, file) -> None:
    """Write a file for a backbone's `init_cfg`."""
    from mmproscale.checkpoints.foreign.conversion import convert_weights
    from mmproscale.checkpoints.foreign.sources import SOURCES

    target = None
    if args.config:
        config, _ = configured(args.config)
        weights = model_of(config).state_dict()
        target = {key: value for key, value in weights.items() if key.startswith("backbone.")}
    conversion = convert_weights(
        file.weights, file.kind, target, partial=args.partial, source=str(file.path)
    )
    # mmdet's Swin loads only keys under 'backbone.', its ResNet only keys without it.
    is_swin = any(key.startswith("backbone.patch_embed.") for key in conversion.weights)
    prefix = "" if is_swin else "backbone."
    weights = {key.removeprefix(prefix): value for key, value in conversion.weights.items()}
    save(args.out, weights, source_meta(file))
    print(*conversion.lines(), sep="\n")
    print(f"{len(weights)} weights are in {args.out}; train with --cfg-options", end=" ")
    settings = SOURCES[file.kind].settings.items()
    options = [f"model.{key}={value}" for key, value in settings]
    print(f"model.backbone.init_cfg.checkpoint={args.out}", *options)


def export(args, file) -> None:
    """Write a plain Mask2Former of ours for another package."""
    from mmproscale.checkpoints.foreign.class_lists import config_classes
    from mmproscale.checkpoints.foreign.export import export_weights, hub_config, write_hub_folder
    from mmproscale.checkpoints.foreign.for_config import fitting_config

    weights = export_weights(file.weights, args.to, str(file.path))
    if args.to == "hf":
        config, _ = configured(args.config or fitting_config(file))
        classes = file.classes or config_classes(config)
        write_hub_folder(args.out, weights, hub_config(file.weights, config, classes))
    else:
        save(args.out, weights, None)
    print(f"{len(weights)} weights are in {args.out}")


def configured(name: str, change=None):
    """Return a config after a change, and the result of the change."""
    from mmproscale.cost.random_model import load_any_config

    config = load_any_config(name)
    return config, change(config) if change else {}


def model_of(config):
    """Build a config's model with the weights of its constructors."""
    from mmproscale.cost.random_model import build_model, model_without_weights

    return build_model(model_without_weights(config), config.get("default_scope"))


def source_meta(file) -> dict:
    """Return the metadata that records a file's source."""
    return {"source": file.kind, "file": file.path.name, "mmproscale": mmproscale.__version__}


def save(out: Path, weights: dict, meta: dict | None) -> None:
    """Write weights, with their meta in a .pth; without meta, in detectron2's form."""
    import torch
    from safetensors.torch import save_file

    from mmproscale.utils.atomic_files import atomic_path

    # safetensors takes no two names of one memory, such as of a layer that is shared.
    own = {key: value.contiguous().clone() for key, value in weights.items()}
    with atomic_path(out) as temporary:
        if out.suffix == ".safetensors":
            save_file(own, temporary, metadata={"format": "pt"})
        else:
            content = {"model": own} if meta is None else {"state_dict": own, "meta": meta}
            torch.save(content, temporary)


if __name__ == "__main__":
    main()
