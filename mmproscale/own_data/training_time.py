"""Time that a training takes on this machine, from a short one that is measured."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmproscale.cost.random_model import model_without_weights
from mmproscale.own_data.base_configs import base_names
from mmproscale.own_data.choices import DIVISOR, Choices
from mmproscale.training.runs import build_runner

SECONDS = 20.0  # for each of training and validation
FEWEST = 3  # steps, and images
MOST_STEPS, MOST_IMAGES = 40, 20
LONG = 24 * 3600.0  # seconds that are long for a CPU


@dataclass(frozen=True)
class TrainingTime:
    """Time of a training in seconds.

    Args:
        once: Time of the start and the end.
        step: Time of an iteration, with the loading of its images.
        validation: Time of a validation, with its figures, pictures and checkpoints.
        total: Time of the whole training.
    """

    once: float
    step: float
    validation: float
    total: float


class _EnoughError(Exception):
    """End of a validation that would take too long."""


class Clock(Hook):
    """Hook that notes when steps and images begin, and ends a training after some of them."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.images: list[float] = []
        self.validated = 0.0

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Note a step; if it is one of enough, it becomes the last one."""
        self.steps.append(time.perf_counter())
        if _are_enough(self.steps):
            runner.train_loop._max_iters = runner.iter + 1

    def before_val(self, runner: Runner) -> None:
        """Note the first image."""
        self.images.append(time.perf_counter())

    def after_val_iter(self, *_: Any, **__: Any) -> None:
        """Note the next image."""
        self.images.append(time.perf_counter())
        if _are_enough(self.images):
            raise _EnoughError

    def after_val(self, runner: Runner) -> None:
        """Note the end of the validation."""
        self.validated = time.perf_counter()

    def times(self, began: float, ended: float, images: int) -> tuple[float, float, float]:
        """Return the seconds of start and end, of a step, and of a validation of ``images``."""
        step, image = _mean(self.steps), _mean(self.images)
        validated = self.validated or self.images[-1]
        once = self.steps[-1] - began - step * (len(self.steps) - 1) + ended - validated
        # The last step is followed by a checkpoint.
        around = validated - self.steps[-1] - step - image * (len(self.images) - 1)
        return once, step, max(0.0, around) + image * images


def _are_enough(marks: list[float]) -> bool:
    return len(marks) > FEWEST and marks[-1] - marks[0] > SECONDS


def _mean(marks: list[float]) -> float:
    """Return the mean time between two marks; the first third does not count."""
    skipped = (len(marks) - 1) // 3
    return (marks[-1] - marks[skipped]) / (len(marks) - 1 - skipped)


def training_time(chosen: Choices, config: Config, imports: float) -> TrainingTime:
    """Measure a short training on this machine, with random weights and its own data.

    It has one validation, of the first images, and writes what a training writes, to a temporary
    folder. The first third of the steps and of the images warms up the machine and empties what
    the data loader has ready. Accumulation is left out: each measured step changes the weights.

    Args:
        chosen: The choices that the config was written from.
        config: The config; it is changed.
        imports: Seconds that the imports of a training take.

    Raises:
        InputError: The training can't start.
        RuntimeError: The memory is too small.
    """
    clock, began, facts = Clock(), time.perf_counter(), chosen.data.facts
    with TemporaryDirectory() as folder, suppress(_EnoughError):
        _shorten(config, folder, facts.val_images)
        runner = build_runner(config, ("train", "val"), terse=True)
        runner.register_hook(clock)
        runner.train()
    images = math.ceil(facts.val_images / chosen.batch.gpus)
    once, step, validation = clock.times(began - imports, time.perf_counter(), images)
    total = once + chosen.iterations * step + chosen.validations * validation
    return TrainingTime(once, step, validation, total)


def _shorten(config: Config, folder: str, images: int) -> None:
    config.merge_from_dict(dict(work_dir=folder, log_level="ERROR", load_from=None))
    config.model = model_without_weights(config)
    config.optim_wrapper.accumulative_counts = 1
    config.train_cfg.max_iters = config.train_cfg.val_interval = MOST_STEPS
    config.default_hooks.checkpoint.interval = MOST_STEPS
    config.val_dataloader.dataset.indices = min(images, MOST_IMAGES)


def lighter_options(chosen: Choices, took: TrainingTime) -> list[str]:
    """Return options that shorten a training, each with what it does; none if it is short.

    A training is long if it takes more than a day on a CPU.
    """
    if chosen.options.gpus or took.total <= LONG:
        return []
    count = chosen.iterations * LONG / 2 / took.total
    unit = 10 ** max(0, len(str(int(count))) - 2)
    lines = [f"--iterations {max(1, int(count / unit) * unit)}: about half a day"]
    small = f"{chosen.base.name.rpartition('_')[0]}_r18"
    if small != chosen.base.name and small in base_names(chosen.data.facts.kind):
        lines.append(f"--base {small}: a smaller model")
    width, height = (max(DIVISOR, round(s / 2 / DIVISOR) * DIVISOR) for s in chosen.fit.crop)
    if min(width, height) >= 4 * DIVISOR:
        read = " ".join(str(side // 2) for side in chosen.image_size)
        lines.append(f"--image-size {read} --crop {width} {height}: a quarter of the pixels")
    return lines
