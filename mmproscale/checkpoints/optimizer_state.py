"""Check of an optimiser's state in a checkpoint against the optimiser that takes it up.

torch checks only the numbers of parameters. Its fused optimisers then read and write the state as
if it had the parameters' shapes, which for other shapes corrupts the memory of the process.
"""

import copy
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor
from torch.optim import Optimizer

from mmproscale.checkpoints.inert_readers import NotDataError
from mmproscale.checkpoints.weight_check import fits_exactly, is_finite
from mmproscale.utils.faults import excerpt, is_int

# Options that choose an implementation, not a result: the running optimiser's are kept.
_IMPLEMENTATION = ("fused", "foreach", "capturable", "differentiable")
_SQUARES = ("exp_avg_sq", "max_exp_avg_sq", "square_avg")
"""State that optimisers take the square root of."""


def check_optimizer(state: Any, wrapper: OptimWrapper) -> None:
    """Check an optimiser's state dict, and bring it into the form of the running optimiser.

    Args:
        state: As ``wrapper.state_dict()`` returns it. Changed in place: it gets the running
            optimiser's implementation (fused or not), and flags that older versions did not save.
        wrapper: The optimiser that will load it.

    Raises:
        NotDataError: Groups, options or state do not fit the optimiser; says which and why.
    """
    groups = state.get("param_groups") if isinstance(state, dict) else None
    if not isinstance(groups, list) or not isinstance(state.get("state"), dict):
        raise NotDataError("no `state` and `param_groups`")
    own = wrapper.optimizer.param_groups
    if len(groups) != len(own):
        raise NotDataError(f"{len(groups)} param_groups, and the run has {len(own)}")
    parameters: dict[int, tuple[Tensor, dict]] = {}
    for number, (group, wanted) in enumerate(zip(groups, own, strict=True)):
        _check_ids(group, wanted, f"param_groups[{number}]")
        _check_options(group, wanted, f"param_groups[{number}]")
        parameters |= zip(group["params"], ((p, wanted) for p in wanted["params"]), strict=True)
    if len(parameters) < sum(len(group["params"]) for group in own):
        raise NotDataError("a parameter in two param_groups")
    state["state"] = {key: entries for key, entries in state["state"].items() if entries != {}}
    for key, entries in state["state"].items():
        if key not in parameters:
            raise NotDataError(f"state of an unknown parameter, {excerpt(key)}")
        _check_entries(entries, _kept_state(wrapper.optimizer, *parameters[key]), f"state[{key}]")
    _check_wrapper(state, wrapper)


def _check_ids(group: Any, own: Mapping[str, Any], where: str) -> None:
    ids = group.get("params") if isinstance(group, dict) else None
    if not isinstance(ids, list) or not all(map(is_int, ids)) or len(ids) != len(own["params"]):
        count = len(ids) if isinstance(ids, list) else "no"
        raise NotDataError(
            f"{where} with {count} parameters, and the run's has {len(own['params'])}"
        )


def _check_options(options: dict, own: Mapping[str, Any], where: str) -> None:
    for key, value in own.items():
        if key in _IMPLEMENTATION:
            options[key] = value
        elif isinstance(value, (bool, type(None))) or key.startswith("initial_"):
            options.setdefault(key, value)
        elif key not in options:
            raise NotDataError(f"{where} without {key}")
    for key, value in options.items():
        wanted = own.get(key, value)
        fits = key == "params" or _may_replace(value, wanted)
        if not fits or (key == "betas" and max(value) >= 1):
            raise NotDataError(f"{where}.{key} {excerpt(value)}, and the run has {wanted!r}")


def _may_replace(value: Any, own: Any) -> bool:
    """Tell whether a value may replace the optimiser's: flags agree, and numbers are finite."""
    if isinstance(own, (bool, str, type(None))):
        return type(value) is type(own) and value == own
    if isinstance(own, (tuple, list)):
        is_list = isinstance(value, (tuple, list)) and len(value) == len(own)
        return is_list and all(map(_may_replace, value, own))
    # Some options are exponents below 0.
    is_negative = is_number(value, below_zero=True) and not is_number(own)
    return is_number(value) or is_negative


def is_number(value: Any, below_zero: bool = False) -> bool:
    """Tell whether a value, or the only one of a tensor, is a finite number from 0."""
    if isinstance(value, Tensor):
        value = value.item() if value.numel() == 1 else None
    is_plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_plain and math.isfinite(value) and (below_zero or value >= 0)


def _kept_state(
    optimizer: Optimizer, parameter: Tensor, group: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the state that the optimiser keeps of a parameter, from a step with zero gradients."""
    probe = torch.nn.Parameter(torch.zeros_like(parameter))
    probe.grad = torch.zeros_like(parameter)
    twin = copy.copy(optimizer)
    twin.state, twin.param_groups = defaultdict(dict), [{**group, "params": [probe]}]
    twin.step()
    return twin.state[probe]


def _check_entries(entries: Any, kept: Mapping[str, Any], where: str) -> None:
    names = set(entries) if isinstance(entries, dict) else set()
    if isinstance(entries, dict) and entries.get("momentum_buffer", 0) is None:
        names.discard("momentum_buffer")  # of SGD before its first step, or without momentum
        kept = {name: value for name, value in kept.items() if name != "momentum_buffer"}
    if names != set(kept):
        found, wanted = sorted(map(str, names)), sorted(kept)
        raise NotDataError(f"{where} with {excerpt(found)}, and the run's optimiser has {wanted}")
    for name, own in kept.items():
        if isinstance(own, Tensor) and own.shape == () and is_number(entries[name]):
            # Old versions of torch count steps in plain numbers.
            entries[name] = torch.as_tensor(entries[name], dtype=own.dtype)
        fault = _fault(entries[name], own)
        if fault is None and name in _SQUARES and entries[name].numel():
            fault = "with negative squares" if entries[name].min() < 0 else None
        if fault:
            raise NotDataError(f"{where}.{name} {fault}")


def _fault(value: Any, own: Any) -> str | None:
    if not isinstance(own, Tensor):
        return None if is_number(value) else f"{excerpt(value)}, no number from 0"
    if not isinstance(value, Tensor):
        return f"{excerpt(value)}, no tensor"
    if value.shape != own.shape:
        return f"of shape {tuple(value.shape)}, and the run's has {tuple(own.shape)}"
    if not fits_exactly(value, own.dtype):
        return f"of type {value.dtype}, and the run's has {own.dtype}"
    if value.is_floating_point() and value.numel() and not is_finite(value):
        return "with values that are not finite"
    return "below 0" if own.shape == () and value < 0 else None


def _check_wrapper(state: Mapping[str, Any], wrapper: OptimWrapper) -> None:
    """Check what mmengine's wrappers add: the loss scale, and options of no parameter."""
    scaler = getattr(wrapper, "loss_scaler", None)
    if scaler is not None and scaler.is_enabled() and "loss_scaler" in state:
        found = state["loss_scaler"]
        _check_numbers(found, scaler.state_dict(), "loss_scaler")
        if min(value for name, value in found.items() if name != "_growth_tracker") <= 0:
            raise NotDataError(f"loss_scaler {excerpt(found)}, which must be above 0")
    if (state.get("base_param_settings") is None) != (wrapper.base_param_settings is None):
        raise NotDataError("base_param_settings where the run has none, or none where it has some")
    if wrapper.base_param_settings is not None:
        base = state["base_param_settings"]
        if not isinstance(base, dict) or not isinstance(base.get("params"), Tensor):
            raise NotDataError(f"base_param_settings {excerpt(base)}, no options of a tensor")
        _check_options(base, wrapper.base_param_settings, "base_param_settings")


def _check_numbers(found: Any, own: Mapping[str, Any], where: str) -> None:
    names = set(found) if isinstance(found, dict) else set()
    if names != set(own) or not all(map(is_number, found.values())):
        raise NotDataError(f"{where} {excerpt(found)}, and not the numbers {sorted(own)}")
