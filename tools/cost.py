"""Compute a model's cost before training: multiply-accumulates, parameters, memory.

Costs are for one image, from the padded image to class and mask logits, in GMACs: billions of
multiply-accumulates by fvcore's rules, which papers call GFLOPs. The papers' Tx. Enc. is the pixel
decoder here. As run, a Mask2Former of ours computes most masks only at the size in which they are
used. The published form computes all ten masks at full size, as the papers count. Without --shape
the image has the size at which the first config tests. Several configs are printed next to each
other, with percentages of the first. A model with an exit gate is printed with all its layers, and
then at each exit.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.cli.command_line import ANY_CONFIG, add_image_size, command_line, make_parser
from mmproscale.utils.config import find_config
from mmproscale.utils.progress import progress_bars
from mmproscale.utils.terminal_table import terminal_table

if TYPE_CHECKING:
    from mmproscale.cost.cost_report import ConfigCost


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument(
        "configs",
        nargs="+",
        metavar="CONFIG",
        help=ANY_CONFIG,
    )
    add_image_size(parser, "--shape", None)
    parser.add_argument(
        "--memory",
        action="store_true",
        help="also predict the memory of activations: inference, training, fp32, mixed precision",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    for config in args.configs:
        find_config(config)
    # Imported only now: torch takes seconds to import, and a wrong path should fail at once.
    from mmproscale.cost.cost_report import as_json, exits_table, side_by_side, single_table

    costs = costs_of(args.configs, args.shape and tuple(args.shape), args.memory)
    if args.json:
        print(json.dumps(as_json(costs), indent=1))
        return
    rows = side_by_side(costs) if len(costs) > 1 else single_table(costs[0])
    console = Console()
    console.print(terminal_table(title(costs), rows))
    for one in costs:
        if exits := exits_table(one):
            console.print(terminal_table(f"{one.name}, GMACs at each exit", exits))


def costs_of(
    configs: Sequence[str], shape: tuple[int, int] | None, memory: bool
) -> list[ConfigCost]:
    """Return the cost of every config, with a progress bar; without a shape, that of the first."""
    from mmproscale.cost.cost_report import cost_of

    with progress_bars() as bars:
        task = bars.add_task("models", total=len(configs))
        costs = []
        for config in configs:
            costs.append(cost_of(config, shape, memory))
            shape = costs[0].shape
            bars.advance(task)
    return costs


def title(costs: Sequence[ConfigCost]) -> str:
    """Return a title with the size of the image, before and after the first model's padding."""
    height, width = costs[0].shape
    padded_height, padded_width = costs[0].cost.size
    name = f"{costs[0].name}, " if len(costs) == 1 else ""
    padded = (
        ""
        if (height, width) == (padded_height, padded_width)
        else f", padded to {padded_height}x{padded_width}"
    )
    return f"{name}one image of {height}x{width}{padded}"


if __name__ == "__main__":
    main()
