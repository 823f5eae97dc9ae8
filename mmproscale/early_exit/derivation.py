"""Step B of ECO-M2F (section 3.2): the derived dataset of a config's training images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from mmdet.datasets.base_det_dataset import BaseDetDataset
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader, Subset

from mmproscale.checkpoints.model_match import load_model_weights
from mmproscale.checkpoints.read_checkpoint import state_dict_of
from mmproscale.early_exit.derived_parts import DerivedParts
from mmproscale.early_exit.derived_table import Origin
from mmproscale.early_exit.fingerprint import fingerprint
from mmproscale.early_exit.image_derivation import ImageDerivation, check_gated
from mmproscale.early_exit.image_quality import QUALITIES, usual_quality
from mmproscale.errors import InputError
from mmproscale.inference.result_kinds import give_kinds
from mmproscale.registry import DATASETS, MODELS
from mmproscale.training.class_hooks import check_class_counts, check_class_names
from mmproscale.training.datasets_of_config import dataset_leaves

Progress = Callable[[int, int], object]
"""Told how many images are derived, by all processes, and of how many."""


def derive(
    config: Config,
    checkpoint: str | Path,
    out: str | Path,
    device: torch.device,
    quality: str | None = None,
    restart: bool = False,
    progress: Progress = lambda done, total: None,
) -> None:
    """Write a derived file of a config's training images, unaugmented; or go on where one stopped.

    Each process of ``torch.distributed``, if there are several, takes a share.

    Args:
        config: As ``load_config`` gives it; changed in place.
        checkpoint: Of step A.
        out: The file.
        device: Of this process.
        quality: A name in ``QUALITIES``; None for PQ of a segmentor and AP of a detector.
        restart: Whether to begin anew.
        progress: Told after every image of this process, and when all are done.

    Raises:
        InputError: Config, checkpoint and data do not go together; the file is there; parts beside
            it are of something else. On every process, whichever found it.
    """
    init_default_scope(config.get("default_scope", "mmdet"))
    dataset = training_images(config)
    quality = quality or usual_quality(is_detector="panoptic_head" not in config.model)
    judge = QUALITIES[quality](dataset)
    model, weights = load_gated_model(config, checkpoint, dataset, judge.kind)
    origin = _origin(config, model, weights, quality, judge.categories)
    image_ids = [dataset.get_data_info(i)["img_id"] for i in _all(dataset)]
    parts = DerivedParts(out, origin, image_ids, _settings(config, dataset))
    is_first = get_rank() == 0
    _together(lambda: is_first and parts.prepare(restart))
    images = ImageDerivation(model.to(device).eval(), judge)
    workers = config.test_dataloader.get("num_workers", 0)
    _together(lambda: _derive_share(parts, images, dataset, workers, progress))
    progress(parts.num_images, parts.num_images)
    _together(lambda: is_first and parts.finish())


def training_images(config: Config) -> BaseDetDataset:
    """The training set of a config, seen through its test pipeline.

    Raises:
        InputError: No training set, several, or one that can't be built; no test pipeline.
    """
    loader = config.get("train_dataloader") or {}
    leaves = list(dataset_leaves(loader.get("dataset") or {}, "train_dataloader.dataset"))
    if len(leaves) != 1 or not leaves[0][0]:
        raise InputError(f"config {config.filename} has no single training set to derive from")
    try:
        pipeline = get_test_pipeline_cfg(config)
    except (AttributeError, RuntimeError) as error:
        raise InputError(f"config {config.filename} has no test pipeline: add one") from error
    return DATASETS.build(dict(leaves[0][0]) | dict(pipeline=pipeline))


def load_gated_model(
    config: Config, checkpoint: str | Path, dataset: BaseDetDataset, kind: str | None
) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """The model with a checkpoint's weights, which gives one kind of results, and those weights.

    A detector has but one: its kind is None.

    Raises:
        InputError: A model without a gate; a checkpoint that is another model's or was trained for
            other classes than the dataset has.
    """
    if kind:
        give_kinds(config, [kind])
    model = MODELS.build(config.model)
    check_gated(model)
    content = load_model_weights(model, checkpoint)
    check_class_counts(model, dataset)
    learned = ((content.get("meta") or {}).get("dataset_meta") or {}).get("classes")
    check_class_names(dataset, learned and tuple(learned), str(checkpoint))
    return model, state_dict_of(content)


def _origin(
    config: Config,
    model: torch.nn.Module,
    weights: dict[str, torch.Tensor],
    quality: str,
    categories: Sequence[dict[str, Any]],
) -> Origin:
    path, holder = check_gated(model)
    gate = ".".join(filter(None, (path, "exit_gate.linear")))
    schedule = holder.encoder.schedule
    return Origin(
        config=Path(config.filename).name,
        fingerprint=fingerprint(weights, gate),
        gate=gate,
        exits=holder.exits,
        num_layers=schedule.num_layers,
        tail=schedule.tail,
        schedule=str(schedule),
        quality=quality,
        categories=tuple(categories),
    )


def _settings(config: Config, dataset: BaseDetDataset) -> dict[str, str]:
    """Digests of what quality depends on beside the weights."""
    said = {
        "model.test_cfg": repr(config.model.get("test_cfg")),
        "model.data_preprocessor": repr(config.model.get("data_preprocessor")),
        "test pipeline": repr(get_test_pipeline_cfg(config)),
        "annotation file": Path(dataset.ann_file).read_bytes(),
    }
    return {
        name: sha256(value if isinstance(value, bytes) else value.encode()).hexdigest()
        for name, value in said.items()
    }


def _derive_share(
    parts: DerivedParts,
    images: ImageDerivation,
    dataset: BaseDetDataset,
    workers: int,
    progress: Progress,
) -> None:
    """Write this process's parts that are not there."""
    share = parts.share(get_rank(), get_world_size())
    items = _load(dataset, [index for part in share for index in parts.images(part)], workers)
    progress(parts.num_written(), parts.num_images)
    for part in share:
        rows, written = [], parts.num_written()
        for _ in parts.images(part):
            rows.append(images.derive(next(items)))
            progress(written + len(rows), parts.num_images)
        parts.write(part, rows)


def _load(dataset: BaseDetDataset, indices: Sequence[int], workers: int) -> Iterator[Any]:
    """Items of a dataset one by one, in this order, read ahead by ``workers`` processes."""
    chosen = Subset(dataset, indices)
    return iter(DataLoader(chosen, batch_size=None, num_workers=workers, collate_fn=_as_it_is))


def _as_it_is(item: Any) -> Any:
    return item


def _all(dataset: BaseDetDataset) -> range:
    return range(len(dataset))


def _together(action: Callable[[], object]) -> None:
    """Do something on every process and wait for all; one's InputError is everyone's.

    Otherwise a process that is not the first would end without a word.
    """
    message = None
    try:
        action()
    except InputError as error:
        message = str(error)
    messages = [said for said in all_gather_object(message) if said is not None]
    if messages:
        raise InputError(messages[0])
