"""Schedule of a resumed run: its differences from the checkpoint's, and its values at any step."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.optim.scheduler.param_scheduler import (
    ReduceOnPlateauParamScheduler,
    _ParamScheduler,
)
from mmengine.runner import EpochBasedTrainLoop, Runner

# Attributes that change while a scheduler runs, and those of its construction.
_RUNNING = {"last_step", "_global_step", "_last_value", "verbose", "base_values"}


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
