"""Hooks for classes: check that datasets and model agree on them, and tell the head their names."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop
from torch import nn

from mmproscale.checkpoints.weights_file import lower_keys
from mmproscale.datasets.checks.class_agreement import class_count_faults, label_faults
from mmproscale.errors import InputError
from mmproscale.registry import HOOKS
from mmproscale.training.check_hooks import unwrapped
from mmproscale.utils.faults import refuse


@HOOKS.register_module()
class ClassCheckHook(Hook):
    """Hook that compares the classes of model, training, validation and test set, and checkpoint.

    The numbers of classes must equal the head's. Their names and order must be those that the
    model is or was trained with: a file that lists its categories in another order would silently
    score near zero.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._learned: tuple[str, ...] | None = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Remember the classes of a checkpoint for a test; fine-tuning may change them."""
        if isinstance(runner._train_loop, BaseLoop):
            return
        meta = checkpoint.get("meta") or {}
        self._learned = _classes(meta.get("dataset_meta"))

    def before_train(self, runner) -> None:
        """Check the training set, and the validation set if there is one.

        Raises:
            InputError: counts, names or order differ.
        """
        train = runner.train_dataloader.dataset
        check_class_counts(runner.model, train)
        if runner.val_loop is not None:
            val = runner.val_loop.dataloader.dataset
            check_class_counts(runner.model, val)
            check_class_names(val, dataset_classes(train), f"'{_annotation_file(train)}'")

    def before_val(self, runner) -> None:
        """Check the validation set.

        Raises:
            InputError: the counts differ.
        """
        check_class_counts(runner.model, runner.val_dataloader.dataset)

    def before_test(self, runner) -> None:
        """Check the test set.

        Raises:
            InputError: the counts differ; or names or order differ from the checkpoint's.
        """
        test = runner.test_dataloader.dataset
        check_class_counts(runner.model, test)
        check_class_names(test, self._learned, "the checkpoint")


@HOOKS.register_module()
class ClassNamesHook(Hook):
    """Hook that tells the head the training set's class names, for `class_weight` by name."""

    # Runs after the classes have been checked.
    priority = "HIGH"

    def before_train(self, runner) -> None:
        """Pass the training set's names to the head.

        Raises:
            InputError: the head's `class_weight` has an unknown name.
        """
        names = dataset_classes(runner.train_dataloader.dataset)
        for name in ("panoptic_head", "decode_head"):
            head = getattr(unwrapped(runner.model), name, None)
            if names is not None and head is not None and hasattr(head, "name_classes"):
                head.name_classes(names)


def check_class_names(dataset: Any, learned: tuple[str, ...] | None, source: str) -> None:
    """Check that a dataset's labels mean the classes ``learned``, where both are known.

    Args:
        dataset: a dataset of mmengine, or a wrapper of such a dataset.
        learned: the names by label.
        source: origin of ``learned``, for messages.

    Raises:
        InputError: names or order differ; states the file and the first difference.
    """
    found = dataset_classes(dataset)
    if learned is not None and found is not None:
        refuse(label_faults(found, learned, _annotation_file(dataset), source))


def check_class_counts(model: nn.Module, dataset: Any) -> None:
    """Check that a model and a dataset have the same numbers of classes, where both are known.

    Raises:
        InputError: the numbers differ, or the annotation file lacks a class of the dataset; states
            both numbers and the annotation file.
    """
    _check_annotated_classes(dataset)
    model, names, file = unwrapped(model), dataset_classes(dataset), _annotation_file(dataset)
    for head in ("decode_head", "bbox_head"):
        wanted = getattr(getattr(model, head, None), "num_classes", None)
        # Heads that regress, as those of mmseg's depth models, state one class.
        if wanted not in (None, 1) and names is not None:
            refuse(class_count_faults((len(names),), (wanted,), file, f"model.{head}"))
    panoptic = getattr(model, "panoptic_head", None)
    things = getattr(panoptic, "num_things_classes", None)
    stuff = getattr(panoptic, "num_stuff_classes", None)
    found = _counts_of_dataset(dataset, all_things=stuff == 0)
    if things is not None and stuff is not None and found is not None:
        refuse(class_count_faults(found, (things, stuff), file, "model.panoptic_head"))


def _check_annotated_classes(dataset: Any) -> None:
    """Refuse a file that lacks a class, because mmdet numbers only the classes in the file."""
    inner = _innermost(dataset)
    ids, names = getattr(inner, "cat_ids", None), dataset_classes(inner)
    if ids is not None and names is not None and len(ids) != len(names):
        raise InputError(
            f"{_annotation_file(dataset)} has {len(ids)} of the config's {len(names)} classes: "
            "set dataset.metainfo=dict(classes=(...)) to the file's classes, in its order"
        )


def _counts_of_dataset(dataset: Any, all_things: bool) -> tuple[int, int] | None:
    known = lower_keys(getattr(dataset, "metainfo", None))
    if all_things and "classes" in known and "stuff_classes" not in known:
        return len(known["classes"]), 0
    if "thing_classes" not in known or "stuff_classes" not in known:
        return None
    return len(known["thing_classes"]), len(known["stuff_classes"])


def dataset_classes(dataset: Any) -> tuple[str, ...] | None:
    """Return the classes of a dataset in the order of labels, or None if they are unknown."""
    return _classes(getattr(dataset, "metainfo", None))


def _classes(metainfo: dict | None) -> tuple[str, ...] | None:
    names = lower_keys(metainfo).get("classes")
    return None if names is None else tuple(names)


def _annotation_file(dataset: Any) -> str:
    inner = _innermost(dataset)
    folders = getattr(inner, "data_prefix", None) or {}  # mmseg's datasets may have only folders
    named = getattr(inner, "ann_file", None) or folders.get("seg_map_path")
    return str(named or "the dataset")


def _innermost(dataset: Any) -> Any:
    """Return the dataset with an annotation file within wrappers such as RepeatDataset."""
    while not getattr(dataset, "ann_file", None):
        inner = getattr(dataset, "dataset", None) or next(
            iter(getattr(dataset, "datasets", [])), None
        )
        if inner is None:
            return dataset
        dataset = inner
    return dataset
