"""Hook that stops a run before infinity or NaN reaches a weight or a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.registry import HOOKS
from mmproscale.training.check_hooks import unwrapped

# Messages of SciPy's linear_sum_assignment.
_MATCHING = ("matrix contains invalid numeric entries", "cost matrix is infeasible")
_WEIGHTS = ("state_dict", "ema_state_dict", "optimizer")


@HOOKS.register_module()
class FiniteNumbersHook(Hook):
    """Hook that stops at the first loss term, gradient or weight to be saved that is not finite.

    Losses are checked before the backward pass, gradients before the step, weights before a
    checkpoint is written. Losses reach the log's hooks as tensors on the CPU, in one transfer.

    Args:
        skipped_steps: In mixed precision, a gradient that is not finite makes the scaler skip the
            step and halve its scale. The run stops after so many skipped steps in a row.
    """

    priority = "LOWEST"

    def __init__(self, skipped_steps: int = 25) -> None:
        self.skipped_steps = skipped_steps
        self._skipped = 0
        self._batch: Any = None
        self._runner: Any = None
        self._infinite_buffers: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Put the checks around the model's losses and the optimizer's steps."""
        if self._runner is not None:
            return
        self._runner = runner
        model: Any = unwrapped(runner.model)
        self._infinite_buffers = {n for n, b in model.named_buffers() if not _is_finite(b)}
        model.parse_losses = self._with_checked_losses(model.parse_losses)
        runner.model.train_step = self._with_checked_costs(runner.model.train_step)
        for wrapper in _wrappers(runner.optim_wrapper):
            wrapper.step = self._with_checked_gradients(wrapper)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep the batch, whose images an error names."""
        self._batch = data_batch

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Release the batch."""
        self._batch = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check what is to be saved.

        Raises:
            InputError: A weight, also of an average, or a state of the optimizer is not finite.
        """
        tensors = {
            name: value
            for key in _WEIGHTS
            for name, value in _named_tensors(key, checkpoint.get(key, {}))
            if name.partition(".")[2].removeprefix("module.") not in self._infinite_buffers
        }
        wrong = [name for name, value in tensors.items() if not _is_finite(value)]
        if wrong:
            raise InputError(
                f"no checkpoint is saved at iteration {checkpoint['meta']['iter']}, because "
                f"{len(wrong)} of its {len(tensors)} tensors are not finite ({_first(wrong)}); "
                f"{_last_checkpoint(runner)}. {_ADVICE}"
            )

    def _with_checked_losses(self, parse: Callable) -> Callable:
        @wraps(parse)
        def checked(losses: Mapping[str, Any]) -> tuple[Tensor, dict[str, Any]]:
            total, terms = parse(losses)
            names = [name for name, value in terms.items() if isinstance(value, Tensor)]
            # One transfer, of what the log's hooks would fetch one by one.
            values = torch.cat([terms[name].detach().reshape(1) for name in names]).cpu()
            terms.update(zip(names, values, strict=True))
            wrong = [
                f"{name} is {value:g}"
                for name, value in zip(names, values.tolist(), strict=True)
                if "loss" in name and not math.isfinite(value)
            ]
            if wrong:
                # The total comes first; a term tells more, if one is wrong.
                raise self._error(_first(wrong[1:] or wrong))
            return total, terms

        return checked

    def _with_checked_costs(self, train_step: Callable) -> Callable:
        @wraps(train_step)
        def checked(*args: Any, **kwargs: Any) -> Any:
            try:
                return train_step(*args, **kwargs)
            except (FloatingPointError, ValueError) as error:
                message = str(error)
                if isinstance(error, FloatingPointError):
                    raise self._error(message) from error
                if any(known in message for known in _MATCHING):
                    raise self._error("a matching cost is not finite") from error
                raise

        return checked

    def _with_checked_gradients(self, wrapper: OptimWrapper) -> Callable:
        step = wrapper.step

        @wraps(step)  # also what mmengine's schedulers note on it
        def checked(**kwargs: Any) -> None:
            parameters = [p for group in wrapper.param_groups for p in group["params"]]
            if _are_finite([p.grad for p in parameters if p.grad is not None]):
                self._skipped = 0
            else:
                self._count(hasattr(wrapper, "loss_scaler"), parameters)
            step(**kwargs)

        return checked

    def _count(self, scaled: bool, parameters: list[nn.Parameter]) -> None:
        """Count a step that the scaler skips; without a scaler, or after too many, stop."""
        self._skipped += 1
        if scaled and self._skipped < self.skipped_steps:
            return
        names = {id(p): name for name, p in unwrapped(self._runner.model).named_parameters()}
        wrong = [
            names.get(id(p), "?")
            for p in parameters
            if p.grad is not None and not _is_finite(p.grad)
        ]
        row = f", for {self._skipped} steps in a row" if scaled else ""
        raise self._error(f"the gradient of {_first(wrong)} is not finite{row}")

    def _error(self, fault: str) -> InputError:
        runner = self._runner
        source = non_finite_source(unwrapped(runner.model), runner.optim_wrapper, self._batch)
        rate = next(iter(_wrappers(runner.optim_wrapper))).param_groups[0]["lr"]
        return InputError(
            f"iteration {runner.iter + 1}: {fault}{source and f' (first in {source})'}; images "
            f"{_images(self._batch)}; learning rate {rate:g}; {_last_checkpoint(runner)}. {_ADVICE}"
        )


_ADVICE = "Look at these images, lower the learning rate or clip gradients, then --resume"


def _wrappers(wrapper: OptimWrapper) -> Iterator[OptimWrapper]:
    yield from wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())


def _are_finite(tensors: list[Tensor]) -> bool:
    """Check all tensors with one transfer."""
    if not tensors:
        return True
    # The largest value can't overflow, as a sum of squares could.
    return bool(torch.stack(torch._foreach_norm(tensors, math.inf)).isfinite().all())


def _named_tensors(name: str, content: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield name, content
    elif isinstance(content, (Mapping, list, tuple)):
        items = content.items() if isinstance(content, Mapping) else enumerate(content)
        for key, value in items:
            yield from _named_tensors(f"{name}.{key}", value)


def _first(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _images(batch: Any) -> str:
    """Return the ids and files of a batch's images."""
    samples = batch.get("data_samples", ()) if isinstance(batch, Mapping) else ()
    named = []
    for sample in samples:
        meta = getattr(sample, "metainfo", {})
        parts = [meta.get("img_id"), meta.get("img_path") and f"'{meta['img_path']}'"]
        named.append(" ".join(str(part) for part in parts if part is not None))
    return ", ".join(name or "without id" for name in named) or "unknown"


def _last_checkpoint(runner: Runner) -> str:
    pointer = Path(runner.work_dir) / "last_checkpoint"
    last = pointer.read_text().strip() if pointer.is_file() else runner._load_from
    return f"last good checkpoint: {last}" if last else "no checkpoint is saved yet"


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
        if any(not value.isfinite().all() for _, value in _named_tensors("", output)):
            raise _FoundError(f"the output of {name}")

    return check
