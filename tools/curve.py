"""Draw loss and quality of a training over its steps, of several trainings in one plot."""

from argparse import Namespace
from pathlib import Path

from rich.console import Console

import mmproscale  # noqa: F401  (checks versions before OpenMMLab is imported)
from mmproscale.cli.command_line import command_line, make_parser
from mmproscale.utils.terminal_table import terminal_table


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = make_parser(__doc__)
    parser.add_argument("work_dirs", nargs="+", metavar="WORK_DIR", help="folder of a training")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="PNG to write; default: learning_curve.png in WORK_DIR, or here for several",
    )
    return parser.parse_args()


@command_line
def main() -> None:
    """Print the last and best figures of each training, and draw them."""
    args = parse_args()
    # Imported only now: torch takes seconds to import.
    from mmproscale.training.learning_curve import draw_learning_curve, read_learning_curve

    rows = [["training", "steps", "loss", "figure", "last", "best", "at step"]]
    for folder in args.work_dirs:
        curve = read_learning_curve(folder)
        name, values = curve.main
        step, best = curve.best or (0, 0.0)
        figures = [name, f"{list(values.values())[-1]:.2f}", f"{best:.2f}", str(step)]
        losses = list(curve.loss.values())  # none before the first log interval ends
        loss = [str(curve.last_step), f"{losses[-1]:.3f}" if losses else "-"]
        rows.append([folder, *loss, *(figures if values else ["-"] * 4)])
    Console().print(terminal_table("figures in percent", rows))
    only = Path(args.work_dirs[0]) if len(args.work_dirs) == 1 else Path()
    print(draw_learning_curve(args.work_dirs, args.out or only / "learning_curve.png"))


if __name__ == "__main__":
    main()
