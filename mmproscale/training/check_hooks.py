"""Hooks that stop a run before its first step: another model's checkpoint, images without truth."""

from __future__ import annotations

from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, find_latest_checkpoint
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from mmproscale.checkpoints.any_source import convert_checkpoint
from mmproscale.checkpoints.model_match import check_any_match, check_same_model, drop_class_layer
from mmproscale.checkpoints.training_state import check_training_state
from mmproscale.checkpoints.weights_file import class_facts
from mmproscale.errors import InputError
from mmproscale.registry import HOOKS


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model whose weights a checkpoint holds: without DDP or test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.get_submodule("module")
    return model


@HOOKS.register_module()
class CheckpointMatchHook(Hook):
    """Check of every checkpoint that the runner loads.

    mmengine would warn about another model's checkpoint and continue with random weights. A run
    that tests or resumes needs a checkpoint of the same model. Fine-tuning needs at least one
    parameter of it, and leaves out a class layer for another number of classes. Differences are
    logged. Weights of other packages are converted first. A model that FSDP has sharded has other
    shapes, and FSDP checks them itself.
    """

    priority = "VERY_HIGH"

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare names, shapes and types, and for a resume the state of the training.

        Raises:
            InputError: The checkpoint belongs to another model, or no training can resume from it.
        """
        if isinstance(runner.model, FullyShardedDataParallel):
            return
        source = runner._load_from or find_latest_checkpoint(runner.work_dir)
        # The training loop is built before a checkpoint is loaded, but never for a test.
        fine_tuning = isinstance(runner._train_loop, BaseLoop) and not runner._resume
        model = unwrapped(runner.model)
        names = _classes_of_run(runner)
        for line in convert_checkpoint(
            model, checkpoint, str(source), runner.cfg, names, partial=fine_tuning
        ):
            runner.logger.info(line)
        if not fine_tuning:
            check_same_model(model, checkpoint, source)
            if runner._resume and isinstance(runner._train_loop, BaseLoop):
                state = (runner.optim_wrapper, runner.param_schedulers)
                check_training_state(checkpoint, source, model, *state)
                _check_progress(runner._train_loop, checkpoint["meta"], source)
            return
        left_out = drop_class_layer(model, checkpoint, source)
        if left_out:
            runner.logger.warning(left_out)
        if differences := check_any_match(model, checkpoint, source).differences:
            runner.logger.warning(f"Fine-tuning from {source}: {differences}")


def _classes_of_run(runner) -> list[str] | None:
    """Return the classes of the training set, or of the set to test on; None if unknown."""
    loops = (runner._train_loop, runner._val_loop, runner._test_loop)
    built = next((loop for loop in loops if isinstance(loop, BaseLoop)), None)
    dataset = getattr(getattr(built, "dataloader", None), "dataset", None)
    return class_facts(getattr(dataset, "metainfo", None)).get("classes")


def _check_progress(loop: BaseLoop, meta: dict, source: str) -> None:
    """Check that a checkpoint is not from beyond the end of the training."""
    key = "epoch" if isinstance(loop, EpochBasedTrainLoop) else "iter"
    end = getattr(loop, f"max_{key}s")
    if meta[key] > end:
        raise InputError(
            f"{source} is at {key} {meta[key]}, and this training ends at {end}: set "
            f"train_cfg.max_{key}s higher, or resume from an earlier checkpoint"
        )


@HOOKS.register_module()
class GroundTruthCheckHook(Hook):
    """Check that the metric has an annotation of every image of validation and test sets.

    Without this hook, a missing annotation would end a training at its first validation.
    """

    def before_train(self, runner) -> None:
        """Check the validation set, if there is one.

        Raises:
            InputError: An image has no annotation.
        """
        if runner.val_loop is not None:
            check_annotated(runner.val_loop.dataloader.dataset, runner.val_loop.evaluator)

    def before_test(self, runner) -> None:
        """Check the test set; raises as `before_train`."""
        check_annotated(runner.test_loop.dataloader.dataset, runner.test_loop.evaluator)


def check_annotated(dataset: Any, evaluator: Evaluator) -> None:
    """Check that metrics with panoptic ground truth have that of every image of a dataset.

    Args:
        dataset: Any dataset; one without `get_data_info` is not checked.
        evaluator: The evaluator that scores it.

    Raises:
        InputError: An image has no annotation; names the image and the annotation file.
    """
    truths = [m.truth for m in evaluator.metrics if hasattr(m, "truth")]
    if not truths or not hasattr(dataset, "get_data_info"):
        return
    for item in map(dataset.get_data_info, range(len(dataset))):
        for truth in truths:
            if item["img_id"] not in truth.annotations:
                raise InputError(
                    f"'{truth.ann_file}' has no annotation of image {item['img_id']!r} "
                    f"('{item['img_path']}'), which is to be scored: annotate it or remove it "
                    "from the dataset, and use one ann_file in dataloader and evaluator"
                )
