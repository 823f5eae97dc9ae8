"""Search for the module in which infinity or NaN first appears."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn


class _FoundError(Exception):
    """Stops the forward pass; the message names the source."""


def non_finite_source(model: nn.Module, wrapper: OptimWrapper, batch: Any) -> str:
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
    hooks = [
        module.register_forward_hook(_raise_at(name or "the model"))
        for name, module in model.named_modules()
    ]
    try:
        with torch.no_grad(), wrapper.optim_context(model):
            model._run_forward(model.data_preprocessor(batch, True), mode="loss")
    except _FoundError as found:
        return str(found)
    except Exception:  # only the search has failed; the fault itself is reported
        return ""
    finally:
        for hook in hooks:
            hook.remove()
    return ""


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
