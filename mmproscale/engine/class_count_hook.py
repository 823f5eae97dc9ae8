"""Stop when the model's class counts are not the dataset's, before a step is taken."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from mmproscale.errors import InputError
from mmproscale.registry import HOOKS


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Compare the panoptic head's numbers of thing and stuff classes with those of each dataset."""

    priority = "VERY_HIGH"

    def before_train(self, runner) -> None:
        """Check the training set.

        Raises:
            InputError: the counts differ.
        """
        check_class_counts(runner.model, runner.train_dataloader.dataset)

    def before_val(self, runner) -> None:
        """Check the validation set.

        Raises:
            InputError: the counts differ.
        """
        check_class_counts(runner.model, runner.val_dataloader.dataset)

    def before_test(self, runner) -> None:
        """Check the test set.

        Raises:
            InputError: the counts differ.
        """
        check_class_counts(runner.model, runner.test_dataloader.dataset)


def check_class_counts(model: nn.Module, dataset: Any) -> None:
    """Check that a model and a dataset have the same numbers of classes, where both say them.

    Raises:
        InputError: they differ; names both counts and the annotation file.
    """
    wanted, found = _counts_of_model(model), _counts_of_dataset(dataset)
    if wanted is None or found is None or wanted == found:
        return
    raise InputError(
        f"model.panoptic_head has {wanted[0]} thing and {wanted[1]} stuff classes, but "
        f"{_annotation_file(dataset)} has {found[0]} and {found[1]}: set num_things_classes and "
        "num_stuff_classes in the config to those of the dataset"
    )


def _counts_of_model(model: nn.Module) -> tuple[int, int] | None:
    model = model.module if is_model_wrapper(model) else model
    head = getattr(model, "panoptic_head", None)
    things = getattr(head, "num_things_classes", None)
    stuff = getattr(head, "num_stuff_classes", None)
    return None if things is None or stuff is None else (things, stuff)


def _counts_of_dataset(dataset: Any) -> tuple[int, int] | None:
    metainfo = getattr(dataset, "metainfo", None) or {}
    # mmdet writes its keys in either case.
    known = {str(key).lower(): value for key, value in metainfo.items()}
    if "thing_classes" not in known or "stuff_classes" not in known:
        return None
    return len(known["thing_classes"]), len(known["stuff_classes"])


def _annotation_file(dataset: Any) -> str:
    """Return the annotation file's name, through wrappers such as RepeatDataset."""
    while not getattr(dataset, "ann_file", None):
        inner = getattr(dataset, "dataset", None) or next(
            iter(getattr(dataset, "datasets", [])), None
        )
        if inner is None:
            return "the dataset"
        dataset = inner
    return str(dataset.ann_file)
