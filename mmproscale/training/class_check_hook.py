"""Stop when labels would not mean what the model learned, before a step is taken."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop
from torch import nn

from mmproscale.datasets.checks.class_agreement import label_difference
from mmproscale.errors import InputError
from mmproscale.registry import HOOKS
from mmproscale.training.check_hooks import unwrapped


@HOOKS.register_module()
class ClassCheckHook(Hook):
    """Compare the classes of model, training set, validation or test set, and checkpoint.

    Their numbers must be the head's. Their names and order must be those that the model
    is or was trained with: a file that lists its categories in another order would score near zero
    without a word.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._learned: tuple[str, ...] | None = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Remember the classes of a checkpoint that is tested; fine-tuning may change them."""
        if isinstance(runner._train_loop, BaseLoop):
            return
        meta = checkpoint.get("meta") or {}
        self._learned = _class_names(meta.get("dataset_meta"))

    def before_train(self, runner) -> None:
        """Check the training set, and the validation set where there is one.

        Raises:
            InputError: counts, names or order differ.
        """
        train = runner.train_dataloader.dataset
        check_class_counts(runner.model, train)
        if runner.val_loop is not None:
            val = runner.val_loop.dataloader.dataset
            check_class_counts(runner.model, val)
            check_class_names(val, class_names(train), _annotation_file(train))

    def before_val(self, runner) -> None:
        """Check the validation set.

        Raises:
            InputError: the counts differ.
        """
        check_class_counts(runner.model, runner.val_dataloader.dataset)

    def before_test(self, runner) -> None:
        """Check the test set.

        Raises:
            InputError: the counts differ, or names and order from the checkpoint's.
        """
        test = runner.test_dataloader.dataset
        check_class_counts(runner.model, test)
        check_class_names(test, self._learned, "the checkpoint")


def check_class_names(dataset: Any, learned: tuple[str, ...] | None, source: str) -> None:
    """Check that a dataset's labels mean what ``learned`` says, where both say it.

    Raises:
        InputError: names or order differ; names the file and the first difference.
    """
    found = class_names(dataset)
    if learned is None or found is None:
        return
    difference = label_difference(found, learned)
    if difference is None:
        return
    label, here, there = difference
    raise InputError(
        f"label {label} is '{here}' in {_annotation_file(dataset)} but '{there}' in {source}: "
        "list the categories in one order (things first, each in the order of the file)"
    )


def check_class_counts(model: nn.Module, dataset: Any) -> None:
    """Check that a model and a dataset have the same numbers of classes, where both say them.

    Raises:
        InputError: they differ, or the annotation file lacks a class that the dataset is said to
            have; names both counts and the annotation file.
    """
    _check_annotated_classes(dataset)
    model = unwrapped(model)
    for head in ("decode_head", "bbox_head"):
        _check_head_count(model, dataset, head)
    wanted = _counts_of_model(model)
    found = _counts_of_dataset(dataset, all_things=wanted is not None and wanted[1] == 0)
    if wanted is None or found is None or wanted == found:
        return
    raise InputError(
        f"model.panoptic_head has {wanted[0]} thing and {wanted[1]} stuff classes, but "
        f"{_annotation_file(dataset)} has {found[0]} and {found[1]}: set num_things_classes and "
        "num_stuff_classes in the config to those of the dataset"
    )


def _check_head_count(model: nn.Module, dataset: Any, head: str) -> None:
    """A decode head of mmseg's, or one that finds boxes, knows no things and no stuff."""
    wanted = getattr(getattr(model, head, None), "num_classes", None)
    names = class_names(dataset)
    # Heads that regress, as those of mmseg's depth models, say that they have one.
    if wanted in (None, 1) or names is None or wanted == len(names):
        return
    raise InputError(
        f"model.{head} has {wanted} classes, but {_annotation_file(dataset)} has "
        f"{len(names)}: set num_classes in the config to that of the dataset"
    )


def _check_annotated_classes(dataset: Any) -> None:
    """mmdet's COCO datasets number the classes that they find, whatever `metainfo` names."""
    inner = _innermost(dataset)
    ids, names = getattr(inner, "cat_ids", None), class_names(inner)
    if ids is not None and names is not None and len(ids) != len(names):
        raise InputError(
            f"{_annotation_file(dataset)} has {len(ids)} of its dataset's {len(names)} classes: "
            "name the file's own, dataset.metainfo=dict(classes=(...)), in the file's order"
        )


def _counts_of_model(model: nn.Module) -> tuple[int, int] | None:
    head = getattr(model, "panoptic_head", None)
    things = getattr(head, "num_things_classes", None)
    stuff = getattr(head, "num_stuff_classes", None)
    return None if things is None or stuff is None else (things, stuff)


def _counts_of_dataset(dataset: Any, all_things: bool) -> tuple[int, int] | None:
    known = _metainfo(dataset)
    if all_things and "classes" in known and "stuff_classes" not in known:
        return len(known["classes"]), 0
    if "thing_classes" not in known or "stuff_classes" not in known:
        return None
    return len(known["thing_classes"]), len(known["stuff_classes"])


def class_names(dataset: Any) -> tuple[str, ...] | None:
    """The classes of a dataset in the order of labels, or None where it does not say them."""
    return _class_names(_metainfo(dataset))


def _metainfo(dataset: Any) -> dict:
    # mmdet writes its keys in either case.
    metainfo = getattr(dataset, "metainfo", None) or {}
    return {str(key).lower(): value for key, value in metainfo.items()}


def _class_names(metainfo: dict | None) -> tuple[str, ...] | None:
    names = {str(key).lower(): value for key, value in (metainfo or {}).items()}.get("classes")
    return None if names is None else tuple(names)


def _annotation_file(dataset: Any) -> str:
    inner = _innermost(dataset)
    folders = getattr(inner, "data_prefix", None) or {}  # mmseg's datasets are often folders alone
    named = getattr(inner, "ann_file", None) or folders.get("seg_map_path")
    return str(named or "the dataset")


def _innermost(dataset: Any) -> Any:
    """Return what has an annotation file, through wrappers such as RepeatDataset."""
    while not getattr(dataset, "ann_file", None):
        inner = getattr(dataset, "dataset", None) or next(
            iter(getattr(dataset, "datasets", [])), None
        )
        if inner is None:
            return dataset
        dataset = inner
    return dataset
