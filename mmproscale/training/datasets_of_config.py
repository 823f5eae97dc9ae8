"""Dataset files that a config uses, with or without wrappers around its datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mmdet.datasets import CocoDataset, CocoPanopticDataset
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmproscale.datasets.checks.class_agreement import CLASS_KEYS
from mmproscale.datasets.checks.dataset_check import DatasetFiles
from mmproscale.datasets.checks.missing_files import is_local
from mmproscale.datasets.loading import PanopticDataset
from mmproscale.errors import InputError
from mmproscale.registry import DATASETS, METRICS
from mmproscale.utils.registered import is_type

SPLITS = ("train", "val", "test")


def datasets_of_config(config: Config) -> list[DatasetFiles]:
    """Return the files of every dataset of train, val and test, each once.

    Args:
        config: Config of mmengine; a loader that is absent or None is left out.

    Raises:
        InputError: the config has no dataset, or one that is neither COCO panoptic nor COCO
            instances on a local disk.
    """
    uses: dict[DatasetFiles, list[str]] = {}
    counts, boxes = _model_classes(config), _box_classes(config)
    with DefaultScope.overwrite_default_scope(config.get("default_scope", "mmdet")):
        for split in SPLITS:
            loader = config.get(f"{split}_dataloader") or {}
            leaves = dataset_leaves(loader.get("dataset"), f"{split}_dataloader.dataset")
            scored = split != "train" and _is_scored(config.get(f"{split}_evaluator"))
            for dataset, key in leaves:
                files = replace(
                    _files(dataset, key), scored=scored, model_classes=counts, box_classes=boxes
                )
                if scored and not files.panoptic:
                    files = replace(files, need_annotations=True)
                uses.setdefault(files, []).append(split)
    if not uses:
        raise InputError(f"config {config.filename} has no dataset: name one that trains or tests")
    return [
        replace(files, name=f"{files.ann_file} ({', '.join(dict.fromkeys(splits))})")
        for files, splits in uses.items()
    ]


def dataset_leaves(node: Any, key: str) -> Iterator[tuple[Mapping, str]]:
    """Yield the datasets with files, below wrappers such as RepeatDataset, with their keys."""
    if isinstance(node, (list, tuple)):
        for place, child in enumerate(node):
            yield from dataset_leaves(child, f"{key}[{place}]")
    elif isinstance(node, Mapping) and (node.get("dataset") or node.get("datasets")):
        inner = "dataset" if node.get("dataset") else "datasets"
        yield from dataset_leaves(node[inner], f"{key}.{inner}")
    elif isinstance(node, Mapping):
        yield node, key


def _files(dataset: Mapping, key: str) -> DatasetFiles:
    """Build a dataset without files and pipeline, so that it joins data_root itself."""
    if not dataset.get("ann_file"):
        raise InputError(f"{key}.ann_file is not set: name the annotation file")
    try:
        built = DATASETS.build(dict(dataset) | dict(lazy_init=True, pipeline=[]))
    except (KeyError, TypeError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{key} can't be built: {reason}") from error
    if not isinstance(built, CocoDataset):
        name = type(built).__name__
        raise InputError(f"{key}.type is {name}, whose files are not COCO's: give another config")
    if not is_local("", built.backend_args):
        raise InputError(
            f"{key}.backend_args is not of a local disk: copy the files, and check them"
        )
    panoptic = isinstance(built, CocoPanopticDataset)
    prefix = {name: folder for name, folder in built.data_prefix.items() if folder}
    if not prefix.get("img"):
        raise InputError(f"{key}.data_prefix.img is not set: name the folder of the images")
    if panoptic and not prefix.get("seg") and not built.test_mode:
        raise InputError(f"{key}.data_prefix.seg is not set: name the folder of the panoptic PNGs")
    # mmdet's own panoptic class takes names from the JSON and ignores its metainfo.
    stock = panoptic and not isinstance(built, PanopticDataset)
    return DatasetFiles(
        ann_file=built.ann_file,
        img=prefix["img"],
        seg=prefix.get("seg") if panoptic else None,
        panoptic=panoptic,
        need_annotations=not built.test_mode,
        need_masks=None if panoptic else _loads_masks(dataset.get("pipeline")),
        metainfo=() if stock else _stated_names(built.metainfo),
        things_first=not stock,
    )


def _loads_masks(pipeline: Any) -> bool | None:
    """Tell whether a pipeline loads masks; None where it loads no ground truth."""
    loaders = [step for step in pipeline or () if "LoadInstances" in str(step.get("type"))]
    loaders += [step for step in pipeline or () if "LoadAnnotations" in str(step.get("type"))]
    masks = (step.get("with_mask", "LoadInstances" in str(step["type"])) for step in loaders)
    return any(masks) if loaders else None


def _model_classes(config: Config) -> tuple[int, int] | None:
    """Return the numbers of thing and stuff classes that the config states of its model."""
    head = (config.get("model") or {}).get("panoptic_head") or {}
    things, stuff = head.get("num_things_classes"), head.get("num_stuff_classes")
    return None if things is None or stuff is None else (things, stuff)


def _box_classes(config: Config) -> int | None:
    """Return the number of classes that the config states of a detector."""
    return ((config.get("model") or {}).get("bbox_head") or {}).get("num_classes")


def _is_scored(evaluator: Any) -> bool:
    """Tell whether an evaluator has a metric of ours, which needs ground truth."""
    if isinstance(evaluator, Mapping) and "metrics" in evaluator:
        return _is_scored(evaluator["metrics"])
    metrics = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator or {}]
    ours = ("mmproscale.UniversalSegMetric", "mmproscale.CocoMetric")
    return any(is_type(metric.get("type"), METRICS, name) for metric in metrics for name in ours)


def _stated_names(metainfo: Mapping) -> tuple[tuple[str, tuple[str, ...]], ...]:
    stated = ((key, metainfo[key]) for key in CLASS_KEYS if key in metainfo)
    return tuple((key, (n,) if isinstance(n, str) else tuple(n)) for key, n in stated)
