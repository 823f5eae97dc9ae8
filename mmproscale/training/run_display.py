"""Lines that a run shows: a header, one line for each log interval, one for each validation."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from numbers import Real
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmproscale.checkpoints.weights_file import lower_keys
from mmproscale.errors import InputError
from mmproscale.registry import HOOKS
from mmproscale.training.check_hooks import unwrapped
from mmproscale.training.learning_curve import MAIN_FIGURES, read_learning_curve
from mmproscale.training.terse_log import duration, fitted, terse_filter
from mmproscale.utils.words import plural

FIRST_STEPS = 5
"""Steps after which the remaining time is said for the first time."""
# Figures of a validation in the order in which they are shown, where they fit.
_SHOWN = (*MAIN_FIGURES, "SQ", "RQ", "PQ_th", "PQ_st", "mAcc", "aAcc", "segm_mAP_50", "bbox_mAP_50")


@HOOKS.register_module()
class RunDisplayHook(Hook):
    """Hook that logs short lines for people, which `terse_loggers` lets through to the console."""

    priority = "LOW"  # after the logger hook, whose figures it shows

    def __init__(self) -> None:
        self._logged: Mapping[str, Any] | None = None
        self._steps = 0
        self._started = 0.0

    def before_run(self, runner: Runner) -> None:
        """Keep what the logger hook logs, so that it is computed once."""
        compute = runner.log_processor.get_log_after_iter

        def compute_and_keep(*args: Any, **options: Any) -> Any:
            self._logged, text = compute(*args, **options)
            return self._logged, text

        runner.log_processor.get_log_after_iter = compute_and_keep

    def before_train(self, runner: Runner) -> None:
        """Log the header: model, data, schedule, start and the log file."""
        self._steps, self._started = 0, time.monotonic()
        for name, text in header(runner).items():
            runner.logger.info(f"{name:<9} {text}")

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Log a line where the logger hook did, and the remaining time after a few steps."""
        self._steps += 1
        if self._logged is not None:
            runner.logger.info(step_line(runner, self._logged))
            self._logged = None
            self._steps += FIRST_STEPS  # a line has said how much time is left
        elif self._steps == FIRST_STEPS:
            times = runner.message_hub.get_scalar("train/time")
            seconds = times.mean(FIRST_STEPS - 1)  # the first step is slower than the others
            left = duration(seconds * (runner.max_iters - runner.iter - 1))
            runner.logger.info(f"{'time':<9} about {left} left: {seconds:.2f} s a step")

    def before_val(self, runner: Runner) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def after_val_iter(self, runner: Runner, batch_idx: int, *_: Any, **__: Any) -> None:
        """Drop what the logger hook logs within a validation."""
        self._logged = None

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log the figures, the first with the best so far."""
        seconds = duration(time.monotonic() - self._started)
        first, *others = figure_fields(metrics or {}, _best(runner)) or ["no figure"]
        runner.logger.info(fitted(f"validated {runner.iter}", [first, seconds, *others]))

    def before_test(self, runner: Runner) -> None:
        """Let the tables of metrics through."""
        if (shown := terse_filter(runner.logger)) is not None:
            shown.tables = True

    def after_test_iter(self, runner: Runner, batch_idx: int, *_: Any, **__: Any) -> None:
        """Log the progress where the logger hook did."""
        if self._logged is not None:
            left = duration(runner.message_hub.get_info("eta"))
            total = len(runner.test_dataloader)
            runner.logger.info(fitted(f"tested {batch_idx + 1}/{total} batches", [f"{left} left"]))
            self._logged = None

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log the figures."""
        runner.logger.info(fitted("tested", figure_fields(metrics or {})))


def header(runner: Runner) -> dict[str, str]:
    """Return the lines of a training's header by their names."""
    parameters = list(unwrapped(runner.model).parameters())
    sizes = [sum(p.numel() for p in ps) / 1e6 for ps in (parameters, _trained(parameters))]
    frozen = f", {sizes[1]:.1f} M of them trained" if sizes[0] > sizes[1] else ""
    kind = type(unwrapped(runner.model)).__name__
    return {
        "config": str(getattr(runner.cfg, "filename", None) or runner.experiment_name),
        "model": f"{kind} of {sizes[0]:.1f} M parameters{frozen}",
        "data": _data(runner),
        "schedule": _schedule(runner),
        "start": _start(runner),
        "log": str(runner.logger.log_file),
    }


def _trained(parameters: list) -> list:
    return [parameter for parameter in parameters if parameter.requires_grad]


def _data(runner: Runner) -> str:
    train = runner.train_dataloader.dataset
    counts = [f"{plural(len(train), 'image')} to train on"]
    if runner.val_loop is not None:
        counts.append(f"{len(runner.val_loop.dataloader.dataset)} to validate on")
    meta = lower_keys(getattr(train, "metainfo", None))
    if "classes" in meta:
        things = f" ({len(meta['thing_classes'])} of things)" if "thing_classes" in meta else ""
        counts.append(f"{plural(len(meta['classes']), 'class')}{things}")
    return ", ".join(counts)


def _schedule(runner: Runner) -> str:
    loop, wrapper = runner.train_loop, runner.optim_wrapper
    loader = runner.train_dataloader
    batch = getattr(loader.batch_sampler, "batch_size", loader.batch_size)
    images = (batch or 1) * get_world_size() * getattr(wrapper, "_accumulative_counts", 1)
    steps = plural(loop.max_iters, "step")
    if isinstance(loop, EpochBasedTrainLoop):
        unit, count = "epoch", f"{plural(loop.max_epochs, 'epoch')}, {steps}"
    else:
        unit, count = "step", steps
    device = str(next(unwrapped(runner.model).parameters()).device)
    places = f"{get_world_size()} processes, " if get_world_size() > 1 else ""
    often = f", validated every {plural(loop.val_interval, unit)}" if runner.val_loop else ""
    return f"{count} of {plural(images, 'image')}{often}, on {places}{device}"


def _start(runner: Runner) -> str:
    if runner._resume and runner._has_loaded:
        return f"resumed at step {runner.iter}"
    return f"from {runner._load_from}" if runner._load_from else "from the config's initial weights"


def step_line(runner: Runner, logged: Mapping[str, Any]) -> str:
    """Return the line of a log interval, of the figures that mmengine's line has."""
    place = f"step {runner.iter + 1}/{runner.max_iters}"
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        place = f"epoch {runner.epoch + 1}/{runner.max_epochs}   {place}"
    formats = {"loss": "loss {:.3f}", "lr": "lr {:.1e}", "time": "{:.2f} s/step"}
    by_name = {key.rpartition("/")[2]: value for key, value in logged.items()}
    fields = [text.format(by_name[key]) for key, text in formats.items() if key in by_name]
    if "eta" in runner.message_hub.runtime_info:
        fields.append(f"{duration(runner.message_hub.get_info('eta'))} left")
    if "memory" in by_name:
        fields.append(f"{by_name['memory'] / 1024:.1f} GiB")
    return fitted(place, fields)


def figure_fields(metrics: Mapping[str, float], best: tuple[int, float] | None = None) -> list[str]:
    """Return a validation's figures as they are shown, the most important first.

    Args:
        metrics: Name, with or without the metric's prefix -> figure in percent.
        best: Step and value of the best first figure so far; None if it is unknown.
    """
    figures = {key.rpartition("/")[2]: value for key, value in metrics.items()}
    names = [name for name in _SHOWN if name in figures] or list(figures)
    fields = [f"{name} {_number(figures[name])}" for name in names]
    if fields and best is not None:
        value = figures[names[0]]
        is_best = math.isnan(best[1]) or value >= best[1]
        fields[0] += " (best so far)" if is_best else f" (best {best[1]:.2f} at {best[0]})"
    return fields


def _number(value: Any) -> str:
    is_number = isinstance(value, Real) and not math.isnan(value)  # mmseg's figures are float32
    return f"{value:.2f}" if is_number else "-"


def _best(runner: Runner) -> tuple[int, float] | None:
    """Return the best main figure in the logs of this work dir, also of runs before a resume."""
    try:
        return read_learning_curve(runner.work_dir).best
    except InputError:  # a config without LocalVisBackend writes no log of figures
        return None
