"""Options of a training: a tracker, an early stop, averaged weights."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.hooks import EarlyStoppingHook
from mmengine.runner import Runner
from mmengine.visualization import LocalVisBackend

from mmproscale.errors import InputError
from mmproscale.registry import HOOKS
from mmproscale.training.learning_curve import MAIN_FIGURES

TRACKERS = {
    "tensorboard": ("TensorboardVisBackend", "tensorboard"),
    "wandb": ("WandbVisBackend", "wandb"),
    "mlflow": ("MLflowVisBackend", "mlflow"),
}
"""Name of a tracker -> mmengine's backend for it, and the package that it needs."""


def add_tracker(config: Config, name: str) -> None:
    """Have a config's training send its numbers and validation pictures to a tracker.

    Args:
        config: Changed in place.
        name: A key of ``TRACKERS``.

    Raises:
        InputError: The tracker's package is not installed.
    """
    backend, package = TRACKERS[name]
    if find_spec(package) is None:
        raise InputError(f"--tracker {name} needs its package: pip install {package}")
    visualizer = config.setdefault("visualizer", dict(type="Visualizer"))
    present = list(visualizer.get("vis_backends") or [dict(type="LocalVisBackend")])
    if not any(one["type"] == backend for one in present):
        present.append(dict(type=backend))
    visualizer["vis_backends"] = present


def show_in_trackers(runner: Runner, name: str, picture: np.ndarray) -> None:
    """Send a picture (H, W, 3) RGB to the run's trackers; the local backend is none of them."""
    for backend in runner.visualizer._vis_backends.values():
        if not isinstance(backend, LocalVisBackend):
            backend.add_image(name, picture, step=runner.iter)


def stop_early(config: Config, patience: int) -> None:
    """Have a config's training end when its main figure has not improved for some validations.

    Args:
        config: Changed in place.
        patience: Validations without a better figure.
    """
    _add_hook(config, dict(type="mmproscale.EarlyStopHook", patience=patience))


def average_weights(config: Config, momentum: float) -> None:
    """Have a config validate and save an exponential moving average of the weights (EMA).

    Args:
        config: Changed in place.
        momentum: Share of the new weights at each step, in 0..1.
    """
    _add_hook(config, dict(type="EMAHook", momentum=momentum))


def _add_hook(config: Config, hook: dict[str, Any]) -> None:
    config.custom_hooks = [*(config.get("custom_hooks") or []), hook]


@HOOKS.register_module()
class EarlyStopHook(EarlyStoppingHook):
    """mmengine's hook for the main figure of any metric: PQ, mIoU or AP.

    Args:
        patience: Validations without a better figure after which the training ends.
    """

    def __init__(self, patience: int = 5) -> None:
        super().__init__(monitor="", rule="greater", min_delta=0.0, patience=patience)

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        """End the training after validations without a better figure.

        Raises:
            InputError: The metrics have no main figure.
        """
        found = [key for name in MAIN_FIGURES for key in metrics or () if key.endswith(f"/{name}")]
        found += [name for name in MAIN_FIGURES if name in (metrics or ())]
        if not found:
            raise InputError(
                f"--early-stopping needs one of {', '.join(MAIN_FIGURES)}, and the metrics are "
                f"{', '.join(metrics or ()) or 'none'}"
            )
        self.monitor = found[0]
        super().after_val_epoch(runner, metrics)
