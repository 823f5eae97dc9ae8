"""A trained model that turns image files into panoptic, semantic, instance results, or boxes."""

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

from mmproscale.checkpoints.matching import load_model_weights
from mmproscale.datasets.formats.panoptic_png import segments_of
from mmproscale.datasets.loading.transforms import LoadImage
from mmproscale.errors import InputError
from mmproscale.evaluation.instance_quality import encode_detections
from mmproscale.inference.image_views import ImageViews, check_averageable
from mmproscale.utils.config import load_config
from mmproscale.utils.registered import is_type

FIELDS = {
    "panoptic": "pred_panoptic_seg",
    "semantic": "pred_sem_seg",
    "instance": "pred_instances",
    "boxes": "pred_instances",
}
"""Kinds of results, and where a data sample has them; boxes are a detector's alone."""


@dataclass(frozen=True)
class Prediction:
    """What a model sees in one image; None for kinds of results that were not asked for.

    Attributes:
        image_path: Where the image was read.
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
    """Predict one image after the other.

    Args:
        config: A config file, or what :func:`mmproscale.utils.config.load_config` made of it.
        checkpoint: A checkpoint of that config's model.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; by default the GPU if there is one.
        kinds: Of ``'panoptic'``, ``'semantic'`` and ``'instance'``: results, all from one forward
            pass; None for what the model is for, which is :func:`kinds_of`: of a detector boxes.
        views: Views of each image to average over; none where there is no test-time augmentation.

    Attributes:
        categories: In the order of labels, each with ``id``, ``name``, ``isthing``, ``color``.

    Raises:
        InputError: No such device; a config or checkpoint that can't be read; a checkpoint of
            another model or of other classes; a kind or views that the model does not have.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        device: str | None = None,
        kinds: Sequence[str] | None = None,
        views: ImageViews | None = None,
    ) -> None:
        self.device = choose_device(device)
        cfg = copy.deepcopy(config) if isinstance(config, Config) else load_config(config)
        if views:
            check_averageable(cfg)
        self.kinds = tuple(kinds or kinds_of(cfg))
        give_kinds(cfg, self.kinds)
        init_default_scope(cfg.get("default_scope", "mmdet"))
        self.model = MODELS.build(cfg.model)
        meta = load_model_weights(self.model, checkpoint).get("meta") or {}
        self.model.to(self.device).eval()
        self.categories = known_categories(meta.get("dataset_meta"), self.model, checkpoint)
        self._load = LoadImage()
        steps = image_pipeline(cfg)
        self._prepare = Compose(views.pipeline(steps) if views else steps)
        averaging = dict(type="mmproscale.UniversalTTA", module=self.model)
        self._tested = MODELS.build(averaging) if views else self.model

    @torch.no_grad()
    def predict(self, path: str | Path) -> Prediction:
        """Segment the image at ``path``.

        Raises:
            InputError: The image can't be read, or the model does not give what was asked for, or
                gives boxes that are no numbers.
        """
        loaded = self._load({"img_path": str(path)})
        image = loaded["img"]
        item = self._prepare({"img": image, "img_path": str(path), "img_id": 0})
        views = item["data_samples"]
        for view in views if isinstance(views, list) else [views]:
            view.set_metainfo({"img_path": str(path)})  # which LoadImageFromNDArray forgets
        result = self._tested.test_step(pseudo_collate([item]))[0]
        # OpenMMLab reads images as BGR.
        rgb = np.ascontiguousarray(image[..., ::-1])
        return Prediction(Path(path), rgb, **self._results(result))

    def _results(self, sample: BaseDataElement) -> dict[str, Any]:
        """The fields of a :class:`Prediction` that were asked for."""
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
    """A detector's boxes (N, 4) as (x1, y1, x2, y2), in COCO's form."""
    corners = found.bboxes.float()
    if not (corners.isfinite().all() and found.scores.isfinite().all()):
        raise InputError(
            "the model gives boxes or scores that are no numbers: its weights are NaN or out of "
            "bounds, so take a checkpoint from before the training diverged"
        )
    boxes = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], dim=1).tolist()
    return [
        {"category_id": categories[label]["id"], "score": score, "bbox": box}
        for label, score, box in zip(
            found.labels.tolist(), found.scores.tolist(), boxes, strict=True
        )
    ]


def _labels(semantic: PixelData) -> np.ndarray:
    """(H, W) labels: ours name them as mmdet names its panoptic ones, mmseg's models do not."""
    labels = semantic.sem_seg if "sem_seg" in semantic else semantic.data
    return labels[0].cpu().numpy()


def kinds_of(config: Config) -> tuple[str, ...]:
    """The kinds of results that a config's model is for: what its test_cfg turns on.

    A segmentor of mmseg's is for semantic maps, a detector for boxes; where nothing is said, a
    model is for panoptic results.
    """
    if _is_segmentor(config):
        return ("semantic",)
    if _is_detector(config):
        return ("boxes",)
    test_cfg = config.model.get("test_cfg") or {}
    kinds = tuple(kind for kind in FIELDS if test_cfg.get(f"{kind}_on"))
    return kinds or ("panoptic",)


def _is_segmentor(config: Config) -> bool:
    return "decode_head" in config.model


def _is_detector(config: Config) -> bool:
    return "bbox_head" in config.model and "mask_head" not in config.model


def give_kinds(config: Config, kinds: Sequence[str]) -> None:
    """Have a config's model give these kinds of results and no others; changed in place.

    Raises:
        InputError: ``'semantic'``, and detector or fusion head are not ours, which alone have it;
            another kind, and the model is a segmentor of mmseg's; not boxes, and it is a detector.
    """
    model = config.model
    if _is_detector(config):
        if tuple(kinds) != ("boxes",):
            raise InputError(f"a {model.type} gives boxes alone: leave --kinds out")
        return
    if _is_segmentor(config):
        others = [kind for kind in kinds if kind != "semantic"]
        if others:
            raise InputError(
                f"mmseg's {model.type} gives semantic results alone, not {others[0]} ones: "
                "leave --kinds out, or take a config with a panoptic_head"
            )
        return
    if "semantic" in kinds and not _is_universal(config):
        raise InputError(
            "semantic results need mmproscale.UniversalSegmentor with "
            "mmproscale.UniversalFusionHead in the config's model"
        )
    if "test_cfg" in model:
        model.test_cfg.update({f"{kind}_on": kind in kinds for kind in FIELDS})


def _is_universal(config: Config) -> bool:
    scope = config.get("default_scope", "mmdet")
    fusion = config.model.get("panoptic_fusion_head", {}).get("type")
    return is_type(
        config.model.type, MODELS, "mmproscale.UniversalSegmentor", scope=scope
    ) and is_type(fusion, MODELS, "mmproscale.UniversalFusionHead", scope=scope)


def choose_device(name: str | None) -> torch.device:
    """The named device, or the GPU if there is one.

    Raises:
        InputError: The device isn't one, or isn't there.
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
    """The config's test pipeline for an image already in memory, without annotations.

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
    """Categories in the order of labels, from what the checkpoint says of its dataset.

    Ids are those of the dataset where the checkpoint has them (``categories``), otherwise the
    labels. A checkpoint that says nothing gives classes named by their labels.

    Raises:
        InputError: The checkpoint's classes are not as many as the model's.
    """
    decode_head = getattr(model, "decode_head", None)
    fusion_head = getattr(model, "panoptic_fusion_head", None)
    head = decode_head or fusion_head or getattr(model, "bbox_head", None)
    total = getattr(head, "num_classes", None)
    things = 0 if decode_head else getattr(head, "num_things_classes", total)
    meta = dataset_meta or {}
    if "classes" not in meta:
        if total is None:
            raise InputError(f"checkpoint {checkpoint} does not say which classes it knows")
        return [{"id": i, "name": f"class {i}", "isthing": int(i < things)} for i in range(total)]
    if total is not None and len(meta["classes"]) != total:
        raise InputError(
            f"checkpoint {checkpoint} knows {len(meta['classes'])} classes but the config's model "
            f"has {total}: use the config that it was trained with"
        )
    return _categories_of(meta, semantic=decode_head is not None)


def _categories_of(meta: dict[str, Any], semantic: bool) -> list[dict[str, Any]]:
    """Categories from a dataset's metainfo; things are those among ``thing_classes``.

    Where it names neither things nor stuff, all are things, or for a ``semantic`` model stuff.
    """
    names: Sequence[str] = meta["classes"]
    # Datasets of label maps whose 0 is void, as ADE20K, count classes from 1.
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
