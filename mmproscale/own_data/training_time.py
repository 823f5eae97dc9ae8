"""Time that a training takes on this machine, from steps that are measured."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing

from mmproscale.cost.random_model import model_without_weights, random_model
from mmproscale.own_data.base_configs import base_names
from mmproscale.own_data.choices import DIVISOR, Choices

SECONDS = 20.0  # for each of training and validation
MOST_STEPS = 40
FEWEST_STEPS = 3
HOUR, LONG = 3600, 24.0  # seconds; hours that are long for a CPU


@dataclass(frozen=True)
class TrainingTime:
    """Time of a training.

    Args:
        step: Seconds of an iteration, with the loading of its images.
        image: Seconds of a validation image, with its score.
        hours: Hours of the whole training, with its validations.
    """

    step: float
    image: float
    hours: float

    @property
    def text(self) -> str:
        """The hours as text for people."""
        if self.hours < 1:
            return f"{max(1, round(self.hours * 60))} min"
        return f"{self.hours:.1f} h" if self.hours < 48 else f"{self.hours / 24:.1f} days"


def training_time(chosen: Choices, config: Config) -> TrainingTime:
    """Measure steps of a config on this machine, with random weights and its own data.

    The first third of the steps warms up the machine and empties what the data loader has ready.
    Accumulation is left out: each measured step changes the weights.

    Args:
        chosen: The choices that the config was written from.
        config: The config; it is changed.

    Raises:
        RuntimeError: The memory is too small.
    """
    device = "cuda" if chosen.options.gpus else "cpu"
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    with _quiet(config):
        set_multi_processing(**config.env_cfg.mp_cfg)
        model = random_model(model_without_weights(config), config.default_scope).to(device)
        step = _seconds_each(*_training(model, config), wait)
        with torch.no_grad():
            image = _seconds_each(*_validation(model, config), wait)
    validations = math.ceil(chosen.iterations / chosen.interval)
    seconds = chosen.iterations * step + validations * chosen.data.facts.val_images * image
    return TrainingTime(step, image, seconds / HOUR)


def _training(model: Any, config: Config) -> tuple[Callable[[Any], object], Iterable]:
    config.optim_wrapper.accumulative_counts = 1
    optimizer = build_optim_wrapper(model, config.optim_wrapper)
    loader = Runner.build_dataloader(config.train_dataloader, seed=0)
    model.train()
    return lambda batch: model.train_step(batch, optimizer), loader


def _validation(model: Any, config: Config) -> tuple[Callable[[Any], object], Iterable]:
    loader = Runner.build_dataloader(config.val_dataloader, seed=0)
    evaluator = Evaluator(config.val_evaluator)
    evaluator.dataset_meta = loader.dataset.metainfo
    model.eval()
    return lambda batch: evaluator.process(model.val_step(batch), batch), loader


def _seconds_each(
    run: Callable[[Any], object], batches: Iterable, wait: Callable[[], object]
) -> float:
    """Return the mean time of a step; the first third of the steps does not count."""
    ends = [time.perf_counter()]
    for batch in batches:
        run(batch)
        wait()
        ends.append(time.perf_counter())
        count = len(ends) - 1
        long = ends[-1] - ends[0] > SECONDS and count >= FEWEST_STEPS
        if long or count == MOST_STEPS:
            break
    skipped = (len(ends) - 1) // 3
    return (ends[-1] - ends[skipped]) / (len(ends) - 1 - skipped)


@contextmanager
def _quiet(config: Config) -> Iterator[None]:
    """Set a config's scope, and silence the logs of the parts that are built."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with DefaultScope.overwrite_default_scope(config.default_scope):
            yield
    finally:
        logger.setLevel(level)


def lighter_options(chosen: Choices, took: TrainingTime) -> list[str]:
    """Return options that shorten a training, each with what it does; none if it is short.

    A training is long if it takes more than a day on a CPU.
    """
    if chosen.options.gpus or took.hours <= LONG:
        return []
    count = chosen.iterations * LONG / 2 / took.hours
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
