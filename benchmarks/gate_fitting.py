"""Step C of ECO-M2F: gates for several betas, fitted to stored vectors.

The default is the number of images in COCO's training set, and six betas. Ours finds the minimum,
and its penalty by cross-validation with five folds. The same layer is trained on the same vectors
by Adam, with the paper's two epochs and batches of 16.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from common.benchmark import make_parser, run_benchmark

from mmproscale.cli.command_line import at_least, command_line
from mmproscale.early_exit.gate_fitting import LOSSES, FittedGate, fit_best_gate
from mmproscale.timing.comparison import Case, Prepared
from mmproscale.timing.conditions import set_up
from mmproscale.timing.measurement import Stopwatch

EXITS = np.arange(2, 7)
EPOCHS, BATCH, RATE = 2, 16, 1e-3
Fit = Callable[[np.ndarray, np.ndarray, str], FittedGate]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=at_least(16), default=118_000)
    parser.add_argument("--channels", type=at_least(1), default=256)
    parser.add_argument(
        "--betas", nargs="+", type=float, default=[0.0, 0.0005, 0.001, 0.005, 0.02, 0.1]
    )
    parser.add_argument("--loss", choices=list(LOSSES), default="u-ce")
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    set_up(args)
    fits: dict[str, Fit] = {"Adam, 2 epochs": by_adam, "mmproscale": fit_best_gate}
    case = Case(
        name=f"{len(args.betas)} gates, {args.images:,} vectors of {args.channels}, {args.loss}",
        settings=dict(images=args.images, channels=args.channels, betas=args.betas, loss=args.loss),
        candidates={name: partial(prepare, fit, args) for name, fit in fits.items()},
    )
    run_benchmark(__file__, args, [case], "Fitting the exit gate: step C of ECO-M2F")


def prepare(fit: Fit, args: argparse.Namespace) -> Prepared:
    inputs, quality = derived(args.images, args.channels)
    few_inputs, few_quality = derived(50, 4)

    def run(watch: Stopwatch) -> None:
        with watch.part("whole"):
            for beta in args.betas:
                fit(inputs, quality - beta * EXITS, args.loss)

    return Prepared(run=run, warm_up=lambda: fit(few_inputs, few_quality, args.loss))


def derived(images: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return gate inputs (N, C), correlated like features, and qualities (N, E).

    The inputs predict a small part of the qualities.
    """
    random = np.random.default_rng(0)
    mixed = random.normal(size=(channels, channels)) / channels**0.5
    inputs = (random.normal(size=(images, channels)) @ mixed).astype(np.float32)
    gain = 0.01 * inputs[:, :1] + 0.02 * random.normal(size=(images, 1))
    noise = 0.05 * random.normal(size=(images, len(EXITS)))
    return inputs, np.clip(0.5 + gain * np.arange(len(EXITS)) + noise, 0, 1)


def by_adam(inputs: np.ndarray, utilities: np.ndarray, loss: str) -> FittedGate:
    """Fit the layer by gradient descent, batch after batch."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(inputs.shape[1], utilities.shape[1])
    optimizer = torch.optim.Adam(layer.parameters(), RATE)
    vectors, wanted = torch.from_numpy(inputs), torch.from_numpy(utilities).float()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(vectors)).split(BATCH):
            optimizer.zero_grad()
            LOSSES[loss](layer(vectors[batch]), wanted[batch]).backward()
            optimizer.step()
    return FittedGate(layer.weight.detach().numpy(), layer.bias.detach().numpy())


if __name__ == "__main__":
    main()
