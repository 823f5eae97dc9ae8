"""Hook that ends a training by SIGTERM or Ctrl-C with a checkpoint to continue from."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from mmengine.dist import is_distributed
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import FlexibleRunner, Runner
from torch import distributed

from mmproscale.registry import HOOKS
from mmproscale.training.checkpoint_hook import AtomicCheckpointHook
from mmproscale.utils.processes import PATIENCE
from mmproscale.utils.stop_signals import Stopped, stop_requested, stops_deferred


@HOOKS.register_module()
class StopHook(Hook):
    """Hook that saves and leaves after the step during which a signal came.

    While gradients are accumulated, that is the step that changes the weights. All processes leave
    after the same step if a signal reached any of them. In a validation, where the weights do not
    change, each process leaves after its current batch. A FlexibleRunner's processes may have to
    save together, so they leave after the validation.
    """

    priority = "LOWEST"
    _deferring: AbstractContextManager[None] | None = None
    _group: Any = None  # of processes

    def before_train(self, runner: Runner) -> None:
        """Defer signals from here to the end of the training."""
        self._deferring = stops_deferred()
        self._deferring.__enter__()
        if is_distributed():
            # Processes agree by messages on the CPU, so that no step waits for the GPU.
            self._group = distributed.new_group(backend="gloo", timeout=PATIENCE)

    def after_train(self, runner: Runner) -> None:
        """Let signals act at once again.

        Raises:
            Stopped: A signal came after the last step.
        """
        deferring, self._deferring = self._deferring, None
        if deferring is not None:
            deferring.__exit__(None, None, None)

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Save and leave if a signal has reached any process.

        Raises:
            Stopped: After the checkpoint has been saved.
        """
        wrapper = runner.optim_wrapper
        if isinstance(wrapper, OptimWrapper) and not wrapper.should_update():
            return  # the gradients so far would not be saved
        if number := self._signal_of_any():
            self._leave(runner, number, runner.iter + 1)

    def after_val_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Save and leave if a signal has reached this process: others may have fewer batches.

        Raises:
            Stopped: After the checkpoint has been saved.
        """
        if isinstance(runner, FlexibleRunner):
            return
        if (number := stop_requested()) and self._deferring:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):  # the model has the mean weights
                    hook.after_val_epoch(runner)
            self._leave(runner, number, runner.iter)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Save and leave as after a step, if figures were computed when the signal came."""
        if self._deferring and (number := self._signal_of_any()):
            self._leave(runner, number, runner.iter)

    def _signal_of_any(self) -> int | None:
        number = stop_requested()
        if self._group is None:
            return number
        numbers = torch.tensor(number or 0)
        distributed.all_reduce(numbers, distributed.ReduceOp.MAX, self._group)
        return int(numbers) or None

    def _leave(self, runner: Runner, number: int, step: int) -> None:
        saving = [hook for hook in runner.hooks if isinstance(hook, AtomicCheckpointHook)]
        if not saving:
            raise Stopped(
                number, f"nothing is saved at iteration {step}, no hook saves checkpoints"
            )
        path = saving[0].save_now(runner, step)
        raise Stopped(number, f"{path} is saved, and --resume continues from it")
