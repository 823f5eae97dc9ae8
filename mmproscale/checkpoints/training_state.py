"""Check of a training's state in a checkpoint, before a run resumes from it.

mmengine does not check this state: counters, logs, paths of files to remove, and attributes of
schedulers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from mmproscale.checkpoints.inert_readers import ANNEALING, NotDataError
from mmproscale.checkpoints.model_match import check_same_model
from mmproscale.checkpoints.optimizer_state import check_optimizer, is_number
from mmproscale.errors import InputError
from mmproscale.utils.faults import excerpt, is_int

Schedulers = Sequence[Any] | Mapping[str, Sequence[Any]] | None
_COUNTERS = ("last_step", "_global_step")
_DIVISORS = ("T_max", "step_size", "total_iters", "total_steps")
"""Attributes of schedulers that others are divided by."""


def check_training_state(
    checkpoint: dict,
    source: str | Path,
    model: nn.Module,
    optimizer: OptimWrapper | OptimWrapperDict,
    schedulers: Schedulers,
) -> None:
    """Check that a run can continue from a checkpoint's state.

    Args:
        checkpoint: As the loader returns it. Changed in place where state has an older form.
        source: The file, for the message.
        model: The run's model, without wrappers.
        optimizer: mmengine's wrapper of the run's optimiser, built.
        schedulers: The run's schedulers, built.

    Raises:
        InputError: State is missing, or does not fit the run; names file and key.
    """
    wanted = ["meta", "message_hub", "optimizer"] + ["param_schedulers"] * bool(schedulers)
    missing = [key for key in wanted if key not in checkpoint]
    if missing:
        raise InputError(
            f"{source} has no {', '.join(missing)}: no training can resume from it. Start from its "
            "weights by --cfg-options load_from=FILE, without --resume"
        )
    try:
        _check_counters(checkpoint["meta"])
        _check_hub(checkpoint["message_hub"])
        _check_optimizers(checkpoint["optimizer"], optimizer)
        if schedulers:
            _check_schedulers(checkpoint["param_schedulers"], schedulers)
    except NotDataError as error:
        raise InputError(
            f"{source} holds {error}; refused. Start from its weights by --cfg-options "
            "load_from=FILE, without --resume"
        ) from error
    _check_average(checkpoint, source, model)


def _check_counters(meta: Any) -> None:
    for key in ("epoch", "iter"):
        value = (meta or {}).get(key)
        if not is_int(value) or value < 0:
            raise NotDataError(f"meta.{key} {excerpt(value)}, no number from 0")
    seed = meta.get("seed")
    if seed is not None and not (is_int(seed) and 0 <= seed < 2**32):
        raise NotDataError(f"meta.seed {excerpt(seed)}, no number in 0..2^32-1")


def _check_hub(hub: Any) -> None:
    """Check the message hub: log histories, information of the run, and the keys to resume."""
    parts = ("log_scalars", "runtime_info", "resumed_keys")
    for part in parts:
        content = hub.get(part) if isinstance(hub, dict) else None
        if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
            raise NotDataError(f"message_hub without a dict '{part}'")
    for key, value in hub["log_scalars"].items():
        if not isinstance(value, HistoryBuffer):
            raise NotDataError(f"message_hub.log_scalars.{key} {excerpt(value)}, no history")
    for key, value in hub["resumed_keys"].items():
        if not isinstance(value, bool):
            raise NotDataError(f"message_hub.resumed_keys.{key} {excerpt(value)}, no yes or no")
    for key, value in hub["runtime_info"].items():
        expected = _info_fault(key, value)
        if expected:
            raise NotDataError(f"message_hub.runtime_info.{key} {excerpt(value)}, {expected}")


def _info_fault(key: str, value: Any) -> str | None:
    """Return the fault of the information under a key; None if it has the expected form."""
    if key in ("iter", "epoch", "max_iters", "max_epochs"):
        return None if is_int(value) and value >= 0 else "no number from 0"
    if key.startswith("best_score"):
        return None if _is_finite(value) else "no finite number"
    if key in ("best_ckpt", "last_ckpt") or key.startswith("best_ckpt_"):
        return None if value is None or isinstance(value, str) else "no path"
    if key == "outdated_ckpts":
        fits = isinstance(value, list) and all(isinstance(name, str) for name in value)
        return None if fits else "no list of names"
    if key == "keep_ckpt_ids":
        fits = isinstance(value, list) and all(is_int(step) and step >= 0 for step in value)
        return None if fits else "no list of numbers from 0"
    return None


def _is_finite(value: Any) -> bool:
    is_single = isinstance(value, (np.ndarray, np.generic)) and value.size == 1
    return is_number(value.item() if is_single else value, below_zero=True)


def _check_optimizers(state: Any, optimizer: OptimWrapper | OptimWrapperDict) -> None:
    if isinstance(optimizer, OptimWrapperDict):
        _check_names(state, optimizer.optim_wrappers, "optimizer")
        states = [(f"optimizer.{name}", state[name], w) for name, w in optimizer.items()]
    else:
        states = [("optimizer", state, optimizer)]
    for where, content, wrapper in states:
        try:
            check_optimizer(content, wrapper)
        except NotDataError as error:
            raise NotDataError(f"{where} with {error}") from error


def _check_names(found: Any, own: Mapping[str, Any], where: str) -> None:
    names = set(found) if isinstance(found, dict) else set()
    if names != set(own):
        raise NotDataError(f"{where} {sorted(map(str, names))}, and the run has {sorted(own)}")


def _check_schedulers(states: Any, schedulers: Schedulers) -> None:
    if isinstance(schedulers, Mapping):
        _check_names(states, schedulers, "param_schedulers")
        for name, group in schedulers.items():
            _check_schedulers(states[name], group)
        return
    if not isinstance(states, list) or len(states) != len(schedulers or ()):
        count = len(states) if isinstance(states, list) else "no"
        raise NotDataError(f"{count} param_schedulers, and the run has {len(schedulers or ())}")
    for number, (state, scheduler) in enumerate(zip(states, schedulers or (), strict=True)):
        where, own = f"param_schedulers[{number}]", scheduler.state_dict()
        if not isinstance(state, dict):
            raise NotDataError(f"{where} {excerpt(state)}, no dict")
        for key in set(state) - set(own):
            raise NotDataError(f"{where} with an unknown {excerpt(key)}")
        for key, value in state.items():
            is_counter = is_int(value) and value >= -1
            fits = is_counter if key in _COUNTERS else _has_form(value, own[key])
            if not fits or (key in _DIVISORS and value <= 0):
                raise NotDataError(f"{where}.{key} {excerpt(value)}, and the run has {own[key]!r}")
            if isinstance(own[key], Counter):
                state[key] = Counter(value)


def _has_form(value: Any, own: Any) -> bool:
    """Tell whether a scheduler's attribute may be replaced: by the same kind, with finite numbers.

    The number of milestones may differ, and the number of groups' values may not.
    """
    if isinstance(own, Counter):
        return isinstance(value, dict) and all(is_int(n) for pair in value.items() for n in pair)
    if isinstance(own, dict):
        is_alike = isinstance(value, dict) and value.keys() == own.keys()
        return is_alike and all(_has_form(value[key], own[key]) for key in own)
    if isinstance(own, (list, tuple)):
        is_list = isinstance(value, (list, tuple)) and len(value) == len(own)
        return is_list and all(map(_has_form, value, own))
    if callable(own):
        return value in ANNEALING
    if isinstance(own, (bool, str, type(None))):
        return type(value) is type(own)
    return _is_finite(value)


def _check_average(checkpoint: dict, source: str | Path, model: nn.Module) -> None:
    """Check the averaged weights of EMA, if there are any, in the same way as the model's."""
    average = checkpoint.get("ema_state_dict")
    if average is None:
        return
    steps = average.get("steps")
    if steps is not None and (steps.shape != () or steps.is_floating_point() or steps < 0):
        raise InputError(f"{source}: ema_state_dict.steps is no number from 0; use another file")
    prefix = "module."
    weights = {k.removeprefix(prefix): v for k, v in average.items() if k.startswith(prefix)}
    check_same_model(model, {"state_dict": weights}, f"{source} (ema_state_dict)")
    unknown = sorted(set(weights) - set(checkpoint["state_dict"]))
    if unknown:
        raise InputError(f"{source}: ema_state_dict has {unknown[0]}, and state_dict has not")
