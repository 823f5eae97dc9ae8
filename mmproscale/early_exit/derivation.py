"""Step B of ECO-M2F (section 3.2): derive quality and cost of every exit for training images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from mmdet.datasets.base_det_dataset import BaseDetDataset
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader, Subset

from mmproscale.checkpoints.any_source import load_model_weights
from mmproscale.checkpoints.read_checkpoint import state_dict_of
from mmproscale.cost.model_cost import Network, model_cost
from mmproscale.cost.model_parts import exit_holder
from mmproscale.early_exit.derived_file import DerivedParts
from mmproscale.early_exit.derived_table import Origin
from mmproscale.early_exit.gate_checkpoint import fingerprint
from mmproscale.early_exit.image_quality import QUALITIES, ImageQuality
from mmproscale.errors import InputError
from mmproscale.inference.result_kinds import give_kinds
from mmproscale.models.config_keys import check_keys
from mmproscale.models.detectors.early_exit_model import EarlyExitModel
from mmproscale.models.encoders.exit_gate import EarlyExits
from mmproscale.registry import DATASETS, MODELS
from mmproscale.training.class_hooks import check_class_counts, check_class_names
from mmproscale.training.datasets_of_config import dataset_leaves

Progress = Callable[[int, int], object]
"""Function of the number of images that all processes have derived, and of the number of all."""


def derive(
    config: Config,
    checkpoint: str | Path,
    out: str | Path,
    device: torch.device,
    quality: str | None = None,
    restart: bool = False,
    progress: Progress = lambda done, total: None,
) -> None:
    """Write a derived file of a config's training images, or continue an interrupted run.

    The images are not augmented. Each process of ``torch.distributed`` derives a share of them.

    Args:
        config: As ``load_config`` gives it; changed in place.
        checkpoint: Checkpoint of step A.
        out: The file.
        device: Device of this process.
        quality: A name in ``QUALITIES``; None for PQ of a segmentor and AP of a detector.
        restart: Whether to remove an earlier run's parts and file first.
        progress: Called after every image of this process, and when all are done.

    Raises:
        InputError: Config, checkpoint and data do not fit together, the file exists, or parts of
            another run lie next to it. An error of one process is raised on all.
    """
    init_default_scope(config.get("default_scope", "mmdet"))
    dataset = training_images(config)
    quality = quality or ("pq" if "panoptic_head" in config.model else "ap")
    measure = QUALITIES[quality](dataset)
    model, weights = load_gated_model(config, checkpoint, dataset, measure.kind)
    origin = _origin(config, model, weights, quality, measure.categories)
    image_ids = [dataset.get_data_info(i)["img_id"] for i in range(len(dataset))]
    parts = DerivedParts(out, origin, image_ids, _settings(config, dataset))
    is_first = get_rank() == 0
    with _errors_on_all_processes():
        if is_first:
            parts.prepare(restart)
    images = ImageDerivation(model.to(device).eval(), measure)
    workers = config.test_dataloader.get("num_workers", 0)
    with _errors_on_all_processes():
        _derive_share(parts, images, dataset, workers, progress)
    progress(parts.num_images, parts.num_images)
    with _errors_on_all_processes():
        if is_first:
            parts.finish()


def training_images(config: Config) -> BaseDetDataset:
    """Build the training set of a config with its test pipeline.

    Raises:
        InputError: The config has no training set, several, or one that can't be built; it has no
            test pipeline.
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
    """Return the model with a checkpoint's weights, and those weights.

    Args:
        config: Its model gets ``kind`` as the only kind of results.
        checkpoint: The file.
        dataset: Its classes must be the model's.
        kind: A kind of a segmentor's results; None for a detector.

    Raises:
        InputError: The model has no gate; the checkpoint belongs to another model, or was trained
            for other classes than the dataset has.
    """
    if kind:
        give_kinds(config, [kind])
    check_keys(config, config.filename)
    model = MODELS.build(config.model)
    check_gated(model)
    content = load_model_weights(model, checkpoint, config)
    check_class_counts(model, dataset)
    learned = ((content.get("meta") or {}).get("dataset_meta") or {}).get("classes")
    check_class_names(dataset, learned and tuple(learned), str(checkpoint))
    return model, state_dict_of(content)


def check_gated(model: torch.nn.Module) -> tuple[str, EarlyExits]:
    """Return path and module of the part that has exits and a gate.

    Raises:
        InputError: The model has no gate, or can't give its result at every exit.
    """
    if not isinstance(model, EarlyExitModel):
        raise InputError(
            f"the model is a {type(model).__name__}: exits are derived only for "
            "mmproscale.UniversalSegmentor and for mmproscale's detectors"
        )
    path, holder = exit_holder(model) or ("", None)
    if holder is None or holder.exit_gate is None:
        raise InputError(
            "the model has no exit gate: name a config that has one (configs/eco*), or set "
            f"{'pixel_decoder' if path else 'model'}.exit_gate=dict(type='ExitGate')"
        )
    return path, holder


class ImageDerivation:
    """Derivation of one image: the encoder runs once, the query decoder once for each exit.

    Each image is a batch of its own, because padding to the size of others changes its result.

    Args:
        model: With weights, in evaluation mode, on its device.
        quality: The measure of its results.

    Raises:
        InputError: The model has no gate.
    """

    def __init__(self, model: torch.nn.Module, quality: ImageQuality) -> None:
        _, self.holder = check_gated(model)
        self.model: Any = model
        self.quality = quality
        # A config may force one exit; all are derived.
        self.holder.exit = None
        self._fixed_macs: dict[tuple[int, int], int] = {}

    @torch.no_grad()
    def derive(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return one row of a derived file.

        Args:
            item: An output of the dataset's pipeline.

        Raises:
            InputError: Image and ground truth do not fit together.
            FloatingPointError: Logits are NaN or infinite.
        """
        batch = self.model.data_preprocessor(pseudo_collate([item]), False)
        samples, feats = batch["data_samples"], self.model.extract_feat(batch["inputs"])
        measured = [
            self.quality.measure(sample.to_dict())
            for _, (sample,) in self.model.predict_exits(feats, samples, self.holder.exits)
        ]
        size = (batch["inputs"].shape[-2], batch["inputs"].shape[-1])
        layer_macs = self.holder.layer_costs(feats)
        return dict(
            image_id=str(samples[0].img_id),
            height=size[0],
            width=size[1],
            quality=[quality for quality, _ in measured],
            gate_input=self.model.gate_input(feats, samples)[0].float().cpu().numpy(),
            layer_macs=layer_macs,
            fixed_macs=self._fixed(size, layer_macs),
            **self.quality.columns([counts for _, counts in measured]),
        )

    def _fixed(self, size: tuple[int, int], layer_macs: Sequence[int]) -> int:
        """Return the multiply-accumulates outside the encoder's layers, traced once per (H, W)."""
        if size not in self._fixed_macs:
            # The trace runs to the last of the gate's exits.
            skipped = self.holder.encoder.schedule.skipped_layers(self.holder.exits[-1])
            layers = sum(layer_macs) - sum(layer_macs[index] for index in skipped)
            self._fixed_macs[size] = model_cost(Network(self.model), size).total - layers
        return self._fixed_macs[size]


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
    """Return digests of the inputs other than weights that change the qualities."""
    inputs = {
        "model.test_cfg": repr(config.model.get("test_cfg")).encode(),
        "model.data_preprocessor": repr(config.model.get("data_preprocessor")).encode(),
        "test pipeline": repr(get_test_pipeline_cfg(config)).encode(),
        "annotation file": Path(dataset.ann_file).read_bytes(),
    }
    return {name: sha256(content).hexdigest() for name, content in inputs.items()}


def _derive_share(
    parts: DerivedParts,
    images: ImageDerivation,
    dataset: BaseDetDataset,
    workers: int,
    progress: Progress,
) -> None:
    """Write the missing parts of this process."""
    share = parts.share(get_rank(), get_world_size())
    chosen = Subset(dataset, [index for part in share for index in parts.images(part)])
    # Workers read ahead and keep the order.
    items = iter(DataLoader(chosen, batch_size=None, num_workers=workers, collate_fn=_unchanged))
    progress(parts.num_written(), parts.num_images)
    for part in share:
        rows: list[dict[str, Any]] = []
        written = parts.num_written()
        for _ in parts.images(part):
            rows.append(images.derive(next(items)))
            progress(written + len(rows), parts.num_images)
        parts.write(part, rows)


def _unchanged(item: Any) -> Any:
    return item


@contextmanager
def _errors_on_all_processes() -> Iterator[None]:
    """Wait for all processes, and raise on all of them the first InputError of any.

    The tool prints errors only on the first process, so an error of another must reach it.
    """
    message = None
    try:
        yield
    except InputError as error:
        message = str(error)
    messages = [text for text in all_gather_object(message) if text is not None]
    if messages:
        raise InputError(messages[0])
