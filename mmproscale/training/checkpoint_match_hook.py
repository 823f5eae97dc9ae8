"""Stop when a checkpoint is another model's; mmengine would warn and go on with random weights."""

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, find_latest_checkpoint

from mmproscale.checkpoints.model_match import (
    check_any_match,
    check_same_model,
    drop_class_layer,
)
from mmproscale.registry import HOOKS
from mmproscale.training.model_wrappers import unwrapped


@HOOKS.register_module()
class CheckpointMatchHook(Hook):
    """Check every checkpoint that the runner loads.

    To test and to resume, it must be this very model's. Fine-tuning may take a part of it, but not
    nothing; a class layer for another number of classes is left out. What differs is in the log.
    """

    priority = "VERY_HIGH"

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare names and shapes.

        Raises:
            InputError: the checkpoint is another model's.
        """
        source = runner._load_from or find_latest_checkpoint(runner.work_dir)
        # The loop is built before a checkpoint is loaded for training, and never for testing.
        fine_tuning = isinstance(runner._train_loop, BaseLoop) and not runner._resume
        model = unwrapped(runner.model)
        if not fine_tuning:
            check_same_model(model, checkpoint, source)
            return
        left_out = drop_class_layer(model, checkpoint, source)
        if left_out:
            runner.logger.warning(left_out)
        if differences := check_any_match(model, checkpoint, source).differences:
            runner.logger.warning(f"Fine-tuning from {source}: {differences}")
