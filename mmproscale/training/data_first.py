"""Datasets and metrics that are built, and thereby checked, before the model is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, EVALUATOR, DefaultScope
from mmengine.runner import Runner

from mmproscale.training.check_hooks import check_annotated


class Built:
    """Type of a config whose building returns a dataset that exists already."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.__name__ = type(dataset).__name__

    def __call__(self) -> Any:
        """Return the dataset."""
        return self._dataset

    def __deepcopy__(self, memo: dict) -> Built:
        """Return itself: mmengine copies configs, and a dataset may be large."""
        return self


def build_data(config: Config, phases: Iterable[str]) -> dict[str, tuple[Any, Evaluator | None]]:
    """Build the datasets and evaluators of some phases, which check their files.

    Args:
        config: The run's config; stays as it is.
        phases: Some of ``'train'``, ``'val'`` and ``'test'``; one without a dataloader is left out.

    Returns:
        Phase -> dataset and evaluator; training has no evaluator.

    Raises:
        InputError: A file is missing or has a fault; an image to be scored has no annotation.
    """
    built: dict[str, tuple[Any, Evaluator | None]] = {}
    with DefaultScope.overwrite_default_scope(config.get("default_scope", "mmengine")):
        for phase in phases:
            stated = (config.get(f"{phase}_dataloader") or {}).get("dataset")
            if not stated:
                continue
            dataset = DATASETS.build(stated)
            if hasattr(dataset, "full_init"):
                dataset.full_init()
            evaluator = _build_evaluator(config.get(f"{phase}_evaluator"))
            if evaluator is not None:
                check_annotated(dataset, evaluator)
            built[phase] = dataset, evaluator
    return built


def _build_evaluator(stated: Any) -> Evaluator | None:
    if not stated:
        return None
    is_evaluator = isinstance(stated, dict) and "metrics" in stated
    return EVALUATOR.build({"type": "Evaluator", **stated}) if is_evaluator else Evaluator(stated)


def hand_over(runner: Runner, built: dict[str, tuple[Any, Evaluator | None]]) -> None:
    """Have a runner's loops take what :func:`build_data` has built."""
    for phase, (dataset, evaluator) in built.items():
        getattr(runner, f"_{phase}_dataloader")["dataset"] = {"type": Built(dataset)}
        if evaluator is not None:
            setattr(runner, f"_{phase}_evaluator", evaluator)
