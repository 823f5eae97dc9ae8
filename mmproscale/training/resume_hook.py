"""Hook that continues a resumed run exactly, or says what has changed in its schedule."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from mmengine.dist import all_gather_object, get_rank
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.optim.scheduler.param_scheduler import (
    ReduceOnPlateauParamScheduler,
    _ParamScheduler,
)
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner, find_latest_checkpoint

from mmproscale.errors import InputError
from mmproscale.registry import HOOKS
from mmproscale.training.random_states import random_state, restore_random_state

RANDOM_STATES = "random_states"  # of all processes, in a checkpoint
CHOICES = ("apply", "refuse")
# Attributes that change while a scheduler runs, and those of its construction.
_RUNNING = {"last_step", "_global_step", "_last_value", "verbose", "base_values"}


@HOOKS.register_module()
class ResumeHook(Hook):
    """Hook that restores random states, says what is resumed, and applies a changed schedule.

    Validation does not change the random state of training, so that a run that validates at other
    times, or is resumed after a validation, continues in the same way.

    Args:
        changed_schedule: ``'apply'`` sets learning rate and schedulers as if the config had been
            trained with from the start; ``'refuse'`` stops. Both name what has changed.

    Raises:
        InputError: `changed_schedule` is unknown.
    """

    # A changed schedule is taken out of the checkpoint before others check and load that.
    priority = "HIGHEST"

    def __init__(self, changed_schedule: str = "apply") -> None:
        if changed_schedule not in CHOICES:
            raise InputError(f"changed_schedule={changed_schedule!r}: it must be one of {CHOICES}")
        self.changed_schedule = changed_schedule
        self._schedule: ConfigSchedule | None = None
        self._changes: list[str] = []
        self._state: dict[str, Any] | None = None
        self._source = ""
        self.before_validation: list[dict[str, Any]] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the schedule of a run that is resumed, and take this process's random state.

        Raises:
            InputError: The schedule has changed, and that is to be refused.
        """
        if not runner._resume or not isinstance(runner._train_loop, BaseLoop):
            return
        if ConfigSchedule.is_simple(runner):
            self._schedule = ConfigSchedule(runner)
            self._changes = self._schedule.differences(checkpoint)
        if self._changes and self.changed_schedule == "refuse":
            raise InputError(
                f"the config's schedule is not the checkpoint's ({_listed(self._changes)}): "
                "restore it, or apply the new one with --changed-schedule apply"
            )
        if self._changes and runner.param_schedulers is not None:
            checkpoint["param_schedulers"] = [s.state_dict() for s in runner.param_schedulers]
        states = checkpoint.pop(RANDOM_STATES, None)
        if isinstance(states, list) and get_rank() < len(states):
            self._state = states[get_rank()]
            self._source = runner._load_from or find_latest_checkpoint(runner.work_dir)
        else:
            runner.logger.warning(
                f"The checkpoint has random states of {_number(states)} processes: the run "
                "continues with other random numbers than the unbroken run"
            )

    def before_train(self, runner: Runner) -> None:
        """Say what is resumed, and apply a changed schedule."""
        if not runner._resume:
            return
        if not runner._has_loaded:
            runner.logger.warning(
                f"--resume: no checkpoint in {runner.work_dir}; training starts at iteration 0"
            )
        if self._schedule is not None and self._changes:
            old = _learning_rate(runner)
            self._schedule.apply(runner)
            runner.logger.warning(
                f"The config's schedule is not the checkpoint's: {_listed(self._changes)}. It is "
                f"applied as from iteration 0: the learning rate at iteration {runner.iter} is "
                f"{_learning_rate(runner):g} instead of {old:g}"
            )
        if runner.iter >= runner.max_iters:
            runner.logger.info(
                f"Training is finished: iteration {runner.iter} of {runner.max_iters}. To train "
                "longer, raise max_iters or max_epochs in train_cfg"
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Restore the random state before the first step."""
        if self._state is not None:
            restore_random_state(self._state, self._source)
            self._state = None

    def before_val(self, runner: Runner) -> None:
        """Keep the random states of training of all processes, which can still meet here."""
        self.before_validation = all_gather_object(random_state())

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Restore the random state of training, before a hook saves a checkpoint."""
        if self.before_validation is not None:
            restore_random_state(self.before_validation[get_rank()])
            self.before_validation = None


def training_random_states(runner: Runner) -> list[dict[str, Any]]:
    """Return the random states of training of all processes.

    During a validation, where one process may have more batches than another, none waits.
    """
    hooks = [hook for hook in runner.hooks if isinstance(hook, ResumeHook)]
    kept = next((hook.before_validation for hook in hooks if hook.before_validation), None)
    return kept or all_gather_object(random_state())


def _learning_rate(runner: Runner) -> float:
    return runner.optim_wrapper.param_groups[0]["lr"]


def _number(states: Any) -> int:
    return len(states) if isinstance(states, list) else 0


def _listed(changes: list[str]) -> str:
    others = f", {len(changes) - 6} more" if len(changes) > 6 else ""
    return ", ".join(changes[:6]) + others


class ConfigSchedule:
    """Hyperparameters and schedulers as a config states them, before anything is resumed.

    Args:
        runner: A runner that trains, before it loads the checkpoint's optimizer.
    """

    def __init__(self, runner: Runner) -> None:
        self.limits = {"max_epochs": runner.max_epochs, "max_iters": runner.max_iters}
        self.groups = [_without_tensors(group) for group in runner.optim_wrapper.param_groups]
        self.schedulers = [copy.copy(scheduler) for scheduler in runner.param_schedulers or []]

    @staticmethod
    def is_simple(runner: Runner) -> bool:
        """Return True where a runner has one optimizer, whose schedule can be compared."""
        wrapper = runner.optim_wrapper
        return isinstance(wrapper, OptimWrapper) and not isinstance(wrapper, OptimWrapperDict)

    def differences(self, checkpoint: Mapping[str, Any]) -> list[str]:
        """Return the differences from a checkpoint, as ``NAME: OLD -> NEW``.

        Parts that the checkpoint lacks, or that have another form, are left out: whether a run can
        resume from it is checked elsewhere.
        """
        found = list(_changed("", _part(checkpoint, "message_hub", "runtime_info"), self.limits))
        groups = _groups(_part(checkpoint, "optimizer"))
        if len(groups) == len(self.groups):
            for old, new in zip(groups, self.groups, strict=True):
                found += _changed("", old, _settings(new))
        states = checkpoint.get("param_schedulers")
        if isinstance(states, list):
            if len(states) != len(self.schedulers):
                found.append(f"param_schedulers: {len(states)} -> {len(self.schedulers)}")
            for old, scheduler in zip(states, self.schedulers, strict=False):
                found += _changed_scheduler(old, scheduler)
        return list(dict.fromkeys(found))

    def apply(self, runner: Runner) -> None:
        """Set optimizer and schedulers as if the config had been trained with from the start."""
        kinds = [repr(sorted(group.items())) for group in self.groups]
        first = {kind: kinds.index(kind) for kind in kinds}
        # One group of each kind is enough, and a model may have hundreds of groups.
        places = list(first.values())
        groups = [dict(self.groups[place]) for place in places]
        small = SimpleNamespace(param_groups=groups, step=None, _global_step=0)
        # A schedule by a metric can't be computed, and keeps its state.
        pairs = [
            (scheduler, _moved(fresh, small, places))
            for scheduler, fresh in zip(runner.param_schedulers or [], self.schedulers, strict=True)
            if not isinstance(fresh, ReduceOnPlateauParamScheduler)
        ]
        _step([moved for _, moved in pairs], runner)
        of_group = [places.index(first[kind]) for kind in kinds]
        for group, place in zip(runner.optim_wrapper.param_groups, of_group, strict=True):
            group.update(small.param_groups[place])
        for scheduler, moved in pairs:
            _expand(scheduler, moved, of_group)


def _without_tensors(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: copy.copy(v) for key, v in group.items() if key not in ("params", "param_names")}


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return a group's numbers; for a scheduled number, its initial value."""
    scheduled = {key.removeprefix("initial_") for key in group if key.startswith("initial_")}
    return {
        key: value
        for key, value in group.items()
        if key not in scheduled and not isinstance(value, bool) and value is not None
    }


def _part(content: Any, *keys: str) -> Mapping[str, Any]:
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def _groups(optimizer: Mapping[str, Any]) -> list[Any]:
    """Return a saved optimizer's groups, and the settings that mmengine lists as another one."""
    groups = optimizer.get("param_groups")
    base = optimizer.get("base_param_settings")
    return [*(groups if isinstance(groups, list) else ()), *([base] if base else [])]


def _changed_scheduler(old: Any, scheduler: _ParamScheduler) -> Iterator[str]:
    name, new = type(scheduler).__name__, scheduler.state_dict()
    if isinstance(old, Mapping) and old.keys() != new.keys():
        yield f"param_schedulers: another one -> {name}"
    else:
        settings = {key: value for key, value in new.items() if key not in _RUNNING}
        yield from _changed(f"{name}.", old, settings)


def _changed(prefix: str, old: Any, new: Mapping[str, Any]) -> Iterator[str]:
    for key, value in new.items() if isinstance(old, Mapping) else ():
        is_plain = isinstance(value, (bool, int, float, str, list, tuple, dict, type(None)))
        if is_plain and key in old and _plain(old[key]) != _plain(value):
            yield f"{prefix}{key}: {_short(old[key])} -> {_short(value)}"


def _plain(value: Any) -> Any:
    """Return a value in the form in which a checkpoint has it."""
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return dict(value) if isinstance(value, Mapping) else value


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, dict):  # a MultiStepLR's milestones, each with its count
        text = str(list(value))
    return text if len(text) <= 40 else f"{text[:37]}..."


def _moved(scheduler: _ParamScheduler, optimizer: Any, places: list[int]) -> _ParamScheduler:
    """Return a scheduler's copy for an optimizer that has only some of its groups."""
    moved = copy.copy(scheduler)
    moved.optimizer = optimizer
    for name in ("base_values", "_last_value"):
        setattr(moved, name, [getattr(scheduler, name)[place] for place in places])
    return moved


def _step(schedulers: list[_ParamScheduler], runner: Runner) -> None:
    """Step as mmengine's hook has done until the runner's iteration."""
    by_iter = [scheduler for scheduler in schedulers if not scheduler.by_epoch]
    by_epoch = [scheduler for scheduler in schedulers if scheduler.by_epoch]
    epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
    length = len(runner.train_dataloader) if epochs else runner.iter + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is no optimizer that steps
        for iteration in range(1, runner.iter + 1):
            for scheduler in by_iter + (by_epoch if iteration % length == 0 else []):
                scheduler.step()


def _expand(scheduler: _ParamScheduler, moved: _ParamScheduler, of_group: list[int]) -> None:
    """Give a scheduler the state of its moved copy."""
    state = moved.state_dict()
    for name in ("base_values", "_last_value"):
        state[name] = [state[name][place] for place in of_group]
    scheduler.load_state_dict(state)
