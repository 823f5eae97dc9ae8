"""Hook that continues a resumed run exactly, or says what has changed."""

from __future__ import annotations

from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint

from mmproscale.errors import InputError
from mmproscale.registry import HOOKS
from mmproscale.training.random_states import random_state, restore_random_state
from mmproscale.training.schedule_change import ConfigSchedule

RANDOM_STATES = "random_states"  # of all processes, in a checkpoint
CHOICES = ("apply", "refuse")


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
        self.before_validation: dict[str, Any] | None = None

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
        """Keep the random state of training."""
        self.before_validation = random_state()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Restore the random state of training, before a hook saves a checkpoint."""
        if self.before_validation is not None:
            restore_random_state(self.before_validation)
            self.before_validation = None


def training_random_state(runner: Runner) -> dict[str, Any]:
    """Return the random state of training, also during a validation."""
    hooks = [hook for hook in runner.hooks if isinstance(hook, ResumeHook)]
    return next((h.before_validation for h in hooks if h.before_validation), random_state())


def _learning_rate(runner: Runner) -> float:
    return runner.optim_wrapper.param_groups[0]["lr"]


def _number(states: Any) -> int:
    return len(states) if isinstance(states, list) else 0


def _listed(changes: list[str]) -> str:
    others = f", {len(changes) - 6} more" if len(changes) > 6 else ""
    return ", ".join(changes[:6]) + others
