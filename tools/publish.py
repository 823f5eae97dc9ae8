"""Publish a trained model: weights only, named by their hash, with the entry of a model zoo.

``python tools/publish.py work_dirs/NAME --out published`` writes CONFIG_DATE-HASH.safetensors and
CONFIG_DATE-HASH.yml. The weights are those of the best or last checkpoint, or their average if the
training kept one (EMAHook). ``--metrics`` adds the figures that tools/test.py has written for the
same weights.
"""

from argparse import Namespace
from pathlib import Path

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.checkpoints.model_config import building_for, load_config_for
from mmproscale.cli.command_line import MixedParser, command_line
from mmproscale.errors import InputError


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = MixedParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG",
        help="config file, or the name of a config of mmproscale; default: the one in the run's "
        "folder, or in the header of a .safetensors file written by mmproscale",
    )
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="a run's work dir, or a file in it"
    )
    parser.add_argument("--out", type=Path, default=Path("published"), metavar="DIR")
    parser.add_argument(
        "--form",
        choices=["safetensors", "pth"],
        default="safetensors",
        help="pth: for mmengine, without the header that makes a config unnecessary",
    )
    parser.add_argument(
        "--metrics",
        type=Path,
        metavar="JSON",
        help="metrics.json that tools/test.py wrote for these weights",
    )
    return parser.parse_args()


@command_line
def main() -> None:
    """Check the weights against the config, and write the file and its entry."""
    args = parse_args()
    from mmproscale.checkpoints.publication import (
        config_of_run,
        find_trained,
        make_entry,
        measured_results,
        training_day,
        write_entry,
        write_published,
    )
    from mmproscale.checkpoints.read_checkpoint import state_dict_of

    file = find_trained(args.checkpoint)
    named = args.config or config_of_run(file)
    config = load_config_for(named, file)
    checkpoint = trained_weights(file, config, named)
    weights, meta = state_dict_of(checkpoint), checkpoint.get("meta") or {}
    results = measured_results(args.metrics, weights) if args.metrics else []
    header = header_for(args.config, file, config, meta)
    name = Path(named).stem if named else header.config.name
    stem = f"{name}_{training_day(file, meta)}"
    published, is_new = write_published(args.out, stem, f".{args.form}", weights, header)
    write_entry(published.with_suffix(".yml"), make_entry(config, name, published, results))
    print(f"{len(weights)} weights are in {published}" + " already" * (not is_new))
    print(f"its entry is in {published.with_suffix('.yml')}")
    if header.config is None:
        print(f"the file is to be used with its config: {header.reason}")


def trained_weights(file: Path, config, named) -> dict:
    """Return the checkpoint of a file that holds all weights of the config's model, and only them.

    Raises:
        InputError: It does not.
    """
    from mmproscale.checkpoints.any_source import FOREIGN, load_source
    from mmproscale.checkpoints.model_match import check_same_model
    from mmproscale.cost.random_model import build_model, model_without_weights

    checkpoint = load_source(file)
    if FOREIGN in checkpoint:
        raise InputError(f"{file} is of another package: convert it with tools/convert.py")
    with building_for(file, named):
        model = build_model(model_without_weights(config), config.get("default_scope"))
    check_same_model(model, checkpoint, file)
    return checkpoint


def header_for(named: str | None, file: Path, config, meta: dict):
    """Return the file's own header, or a new one for a config that was named or found."""
    from mmproscale.checkpoints.foreign.class_lists import config_metainfo
    from mmproscale.checkpoints.weights_file import header_of, make_header

    own = header_of(file, meta)
    if named is None and own.config is not None:
        return own
    return make_header(config, meta.get("dataset_meta") or config_metainfo(config))


if __name__ == "__main__":
    main()
