"""Stop when a checkpoint is another model's; mmengine would warn and go on with random weights."""

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, find_latest_checkpoint

from mmproscale.checkpoints.matching import check_any_match, check_same_model
from mmproscale.engine.model_wrappers import unwrapped
from mmproscale.registry import HOOKS


@HOOKS.register_module()
class CheckpointMatchHook(Hook):
    """Check every checkpoint that the runner loads.

    To test and to resume, it must be this very model's. Fine-tuning may take a part of it, and
    change the classes, but not nothing.
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
        check = check_any_match if fine_tuning else check_same_model
        check(unwrapped(runner.model), checkpoint, source)
