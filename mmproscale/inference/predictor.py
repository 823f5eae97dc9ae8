"""Predictor: a trained model that turns image files into segments or boxes."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from mmproscale.checkpoints.any_source import load_model_weights
from mmproscale.checkpoints.model_config import load_config_for
from mmproscale.datasets.formats.panoptic_png import segments_of
from mmproscale.datasets.loading.transforms import LoadImage
from mmproscale.errors import InputError
from mmproscale.evaluation.average_precision import encode_detections
from mmproscale.inference.image_views import ImageViews, check_averageable
from mmproscale.inference.result_kinds import FIELDS, give_kinds, kinds_of


@dataclass(frozen=True)
class Prediction:
    """Results for one image; None for each kind that was not requested.

    Attributes:
        image_path: File of the image.
        image: (H, W, 3) RGB uint8.
        id_map: (H, W) int32 panoptic segment ids; 0 is void.
        segments: One dict each: ``id``, ``label``, ``category_id``, ``isthing``, ``iscrowd`` (0),
            ``area`` in pixels, ``bbox`` (x, y, width, height in pixels).
        category_map: (H, W) int64, the category id of each pixel.
        instances: COCO's detections: ``category_id``, ``score``, ``segmentation`` as RLE, ``area``,
            ``bbox``.
        boxes: COCO's detections without masks: ``category_id``, ``score``, ``bbox`` (x, y, width,
            height in pixels).
    """

    image_path: Path
    image: np.ndarray
    id_map: np.ndarray | None = None
    segments: list[dict[str, Any]] | None = None
    category_map: np.ndarray | None = None
    instances: list[dict[str, Any]] | None = None
    boxes: list[dict[str, Any]] | None = None


class Predictor:
    """Trained model that predicts one image at a time.

    Args:
        config: A config file, or a config from :func:`mmproscale.utils.config.load_config`; None
            for the one in the checkpoint's header.
        checkpoint: A checkpoint of that config's model.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; by default the GPU if there is one.
        kinds: Some of ``'panoptic'``, ``'semantic'`` and ``'instance'``, all from one forward
            pass; None for the kinds of :func:`~mmproscale.inference.result_kinds.kinds_of`.
        views: Views of each image to average over; None for no test-time augmentation.

    Attributes:
        categories: In the order of labels, each with ``id``, ``name``, ``isthing``, ``color``.

    Raises:
        InputError: An unknown device; a config or checkpoint that can't be read; a checkpoint of
            another model or of other classes; a kind or views that the model does not support.
    """

    def __init__(
        self,
        config: str | Path | Config | None,
        checkpoint: str | Path,
        device: str | None = None,
        kinds: Sequence[str] | None = None,
        views: ImageViews | None = None,
    ) -> None:
        self.device = choose_device(device)
        if isinstance(config, Config):
            cfg = copy.deepcopy(config)
        else:
            cfg = load_config_for(config, checkpoint)
        if views:
            check_averageable(cfg)
        self.kinds = tuple(kinds or kinds_of(cfg))
        give_kinds(cfg, self.kinds)
        init_default_scope(cfg.get("default_scope", "mmdet"))
        self.model = MODELS.build(cfg.model)
        meta = load_model_weights(self.model, checkpoint, cfg).get("meta") or {}
        self.model.to(self.device).eval()
        self.categories = known_categories(meta.get("dataset_meta"), self.model, checkpoint)
        self._load = LoadImage()
        steps = image_pipeline(cfg)
        self._prepare = Compose(views.pipeline(steps) if views else steps)
        averaging = dict(type="mmproscale.UniversalTTA", module=self.model)
        self._tested = MODELS.build(averaging) if views else self.model

    @torch.no_grad()
    def predict(self, path: str | Path) -> Prediction:
        """Return the results for the image at ``path``.

        Raises:
            InputError: The image can't be read, the model lacks a requested kind of result, or its
                boxes are not finite.
        """
        loaded = self._load({"img_path": str(path)})
        image = loaded["img"]
        item = self._prepare({"img": image, "img_path": str(path), "img_id": 0})
        views = item["data_samples"]
        for view in views if isinstance(views, list) else [views]:
            view.set_metainfo({"img_path": str(path)})  # LoadImageFromNDArray drops it
        result = self._tested.test_step(pseudo_collate([item]))[0]
        # OpenMMLab reads images as BGR.
        rgb = np.ascontiguousarray(image[..., ::-1])
        return Prediction(Path(path), rgb, **self._results(result))

    def _results(self, sample: BaseDataElement) -> dict[str, Any]:
        """Return the requested fields of a :class:`Prediction`."""
        for kind in self.kinds:
            if FIELDS[kind] not in sample:
                raise InputError(f"the model gives no {kind} result: set model.test_cfg.{kind}_on")
        results: dict[str, Any] = {}
        if "panoptic" in self.kinds:
            panoptic = sample.pred_panoptic_seg.sem_seg[0].cpu().numpy()
            results["id_map"], results["segments"] = segments_of(panoptic, self.categories)
        if "semantic" in self.kinds:
            ids = np.array([category["id"] for category in self.categories])
            results["category_map"] = ids[_labels(sample.pred_sem_seg)]
        if "instance" in self.kinds:
            found = sample.pred_instances.cpu().numpy()
            things = [category for category in self.categories if category["isthing"]]
            results["instances"] = encode_detections(
                found.labels, found.scores, found.masks, things
            )
        if "boxes" in self.kinds:
            results["boxes"] = _boxes(sample.pred_instances.cpu(), self.categories)
        return results


def _boxes(found: InstanceData, categories: Sequence[dict]) -> list[dict[str, Any]]:
    """Return a detector's boxes, (N, 4) as (x1, y1, x2, y2), as COCO's detections."""
    corners = found.bboxes.float()
    if not (corners.isfinite().all() and found.scores.isfinite().all()):
        raise InputError(
            "the model gives boxes or scores that are not finite: its weights are NaN or too "
            "large, so use a checkpoint from before the training diverged"
        )
    boxes = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], dim=1).tolist()
    return [
        {"category_id": categories[label]["id"], "score": score, "bbox": box}
        for label, score, box in zip(
            found.labels.tolist(), found.scores.tolist(), boxes, strict=True
        )
    ]


def _labels(semantic: PixelData) -> np.ndarray:
    """Return labels (H, W); mmseg's models have them under ``data``, ours under ``sem_seg``."""
    labels = semantic.sem_seg if "sem_seg" in semantic else semantic.data
    return labels[0].cpu().numpy()


def choose_device(name: str | None) -> torch.device:
    """Return the named device; by default the GPU if there is one.

    Raises:
        InputError: The device is unknown, or this machine does not have it.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device '{name}' is unknown: use cpu or cuda") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise InputError(f"device '{name}' is not there ({count} GPUs found): use cpu")
    return device


def image_pipeline(cfg: Config) -> list[dict[str, Any]]:
    """Return the config's test pipeline for an image in memory, without annotations.

    Raises:
        InputError: The config's test dataset has no pipeline.
    """
    from mmdet.utils import get_test_pipeline_cfg

    try:
        steps = get_test_pipeline_cfg(cfg)
    except (AttributeError, RuntimeError) as error:
        raise InputError(
            f"config {cfg.filename} has no test_dataloader.dataset.pipeline: add it"
        ) from error
    kept = []
    for step in steps:
        name = step["type"].rsplit(".", 1)[-1] if isinstance(step["type"], str) else str(step.type)
        if name.startswith("LoadImage"):
            to_float32 = step.get("to_float32", False)
            kept.append({"type": "mmdet.LoadImageFromNDArray", "to_float32": to_float32})
        elif not name.startswith("Load"):
            kept.append(step)
    return kept


def known_categories(
    dataset_meta: dict[str, Any] | None, model: torch.nn.Module, checkpoint: str | Path
) -> list[dict[str, Any]]:
    """Return the categories in the order of labels, from a checkpoint's metainfo of its dataset.

    Ids are those of the metainfo's ``categories``, otherwise the labels. Without metainfo, classes
    are named by their labels.

    Raises:
        InputError: Checkpoint and model have different numbers of classes.
    """
    decode_head = getattr(model, "decode_head", None)
    fusion_head = getattr(model, "panoptic_fusion_head", None)
    head = decode_head or fusion_head or getattr(model, "bbox_head", None)
    total: int | None = getattr(head, "num_classes", None)
    meta = dataset_meta or {}
    if "classes" not in meta:
        if total is None:
            raise InputError(f"checkpoint {checkpoint} does not say which classes it knows")
        things = 0 if decode_head else getattr(head, "num_things_classes", total)
        return [{"id": i, "name": f"class {i}", "isthing": int(i < things)} for i in range(total)]
    if total is not None and len(meta["classes"]) != total:
        raise InputError(
            f"checkpoint {checkpoint} knows {len(meta['classes'])} classes but the config's model "
            f"has {total}: use the config that it was trained with"
        )
    return _categories_of(meta, semantic=decode_head is not None)


def _categories_of(meta: dict[str, Any], semantic: bool) -> list[dict[str, Any]]:
    """Return the categories of a dataset's metainfo; ``thing_classes`` are things.

    If it names neither things nor stuff, all classes are things; for a ``semantic`` model, stuff.
    """
    names: Sequence[str] = meta["classes"]
    # Label maps with 0 for void, such as ADE20K's, count classes from 1.
    first = int(bool(meta.get("reduce_zero_label")))
    numbers = range(first, first + len(names))
    ids = [category["id"] for category in meta.get("categories", ())] or numbers
    colors = meta.get("palette") or [None] * len(names)
    things = () if semantic or "stuff_classes" in meta else names
    n_things = len(meta.get("thing_classes", things))
    categories = []
    for label, (category_id, name, color) in enumerate(zip(ids, names, colors, strict=True)):
        category = {"id": int(category_id), "name": name, "isthing": int(label < n_things)}
        categories.append(category | ({"color": [int(v) for v in color]} if color else {}))
    return categories
