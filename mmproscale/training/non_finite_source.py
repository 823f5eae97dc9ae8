"""Search for the module in which infinity or NaN first appears."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn


class _FoundError(Exception):
    """Stops the forward pass; the message names the source."""


def non_finite_source(model: Any, wrapper: OptimWrapper, batch: Any) -> str:
    """Name the first module with a weight or an output that is not finite, by another forward pass.

    Args:
        model: The model, without DDP.
        wrapper: The optimizer's wrapper, whose precision is used.
        batch: The batch as the loader has returned it.

    Returns:
        The source, or '' where the pass is finite or can't be repeated.
    """
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            return f"the weight {name}"
    with _watched(model), torch.no_grad(), wrapper.optim_context(model):
        try:
            model._run_forward(model.data_preprocessor(batch, True), mode="loss")
        except _FoundError as found:
            return str(found)
        except Exception:  # only the search has failed; the fault itself is reported
            return ""
    return ""


@contextmanager
def _watched(model: nn.Module) -> Iterator[None]:
    """Check the outputs of all modules, and the costs of mmdet's assigners."""
    # The model itself returns the losses, whose names are known.
    hooks = [
        module.register_forward_hook(_raise_at(name))
        for name, module in model.named_modules()
        if name
    ]
    assigners = [module.assigner for module in model.modules() if hasattr(module, "assigner")]
    kept = [dict(vars(assigner)) for assigner in assigners]
    for assigner in assigners:
        vars(assigner).update(_with_checked_costs(vars(assigner)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for assigner, attributes in zip(assigners, kept, strict=True):
            vars(assigner).update(attributes)


def _with_checked_costs(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return an assigner's costs, each with a check of its result."""
    checked: dict[str, Any] = {
        n: _checked_cost(cost) for n, cost in attributes.items() if n.endswith("_cost")
    }
    if "match_costs" in attributes:
        checked["match_costs"] = [_checked_cost(cost) for cost in attributes["match_costs"]]
    return checked


def _checked_cost(cost: Callable) -> Callable:
    def check(*args: Any, **kwargs: Any) -> Tensor:
        result = cost(*args, **kwargs)
        if not result.isfinite().all():
            raise _FoundError(f"the matching cost {type(cost).__name__}")
        return result

    return check


def _raise_at(name: str) -> Callable:
    def check(module: nn.Module, inputs: Any, output: Any) -> None:
        if any(not tensor.isfinite().all() for tensor in _tensors(output)):
            raise _FoundError(f"the output of {name}")

    return check


def _tensors(content: Any) -> Iterator[Tensor]:
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _tensors(value)
    elif isinstance(content, (list, tuple)):
        for value in content:
            yield from _tensors(value)
