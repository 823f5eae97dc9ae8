"""Predictor: a trained model that turns image files into segments or boxes."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from mmproscale.checkpoints.any_source import load_model_weights
from mmproscale.checkpoints.model_config import is_checkpoint, load_config_for
from mmproscale.datasets.formats.panoptic_png import segments_of
from mmproscale.datasets.formats.rle import encode_masks
from mmproscale.errors import InputError
from mmproscale.inference.export_info import is_exported
from mmproscale.inference.exported_file import ExportedFile
from mmproscale.inference.exported_model import check_use, exported_model
from mmproscale.inference.image_sources import InputImage, input_images, is_many, read_image
from mmproscale.inference.image_views import ImageViews, check_averageable
from mmproscale.inference.result_kinds import FIELDS, give_kinds, kinds_of
from mmproscale.inference.results import Instances, Result, Segment
from mmproscale.inference.tile_merging import merge_tiles
from mmproscale.inference.tiles import Tiling
from mmproscale.models.config_keys import check_keys
from mmproscale.models.encoders.exit_gate import EarlyExits
from mmproscale.models.precision import check_precision, set_precision
from mmproscale.utils.config import require_keys

MAX_PIXELS = 50_000_000


class Predictor:
    """Trained model that predicts images, one or several at a time.

    Call it with a source of images, e.g. ``model("street.jpg")``: see :meth:`__call__`.

    Args:
        config: A config file, the name of one of the package's, or a config from
            :func:`mmproscale.utils.config.load_config`; None for the one in
            the checkpoint's header. A file of ``mmproscale export`` (``.onnx``, ``.xml``) is a
            whole model and takes no checkpoint.
        checkpoint: A checkpoint of that config's model.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; by default the GPU if there is one, and the CPU
            for an exported file.
        kinds: Some of ``'panoptic'``, ``'semantic'`` and ``'instance'``, all from one forward
            pass; None for the kinds of :func:`~mmproscale.inference.result_kinds.kinds_of`.
        views: Views of each image to average over; None for no test-time augmentation.
        least_score: Instances and boxes with a lower score are dropped, in 0..1.
        tile: Largest height and width that the model sees at once, in pixels; larger images are
            cut into overlapping tiles, whose results are merged. None for whole images.
        overlap: Overlap of neighbouring tiles in pixels.
        max_pixels: Pixels of the largest image that is not cut into tiles. A panoptic result takes
            about 45 bytes of memory for each.
        precision: Precision of the products: ``'fp32'``, ``'bf16'``, or ``'fp16'`` on a GPU.

    Attributes:
        categories: In the order of labels, each with ``id``, ``name``, ``isthing``, ``color``.
        kinds: Kinds of results that each image gets.
        device: Device of the model.
        config: Config of the model, with these kinds.

    Raises:
        InputError: An unknown device; a precision that the device or an exported file does not
            have; a config or checkpoint that can't be read; a checkpoint of another model or of
            other classes; a kind or views that the model does not support.
    """

    other: str | None = None
    """Class for models of the other kind, with or without masks; None if this class takes both."""

    def __init__(
        self,
        config: str | Path | Config | ExportedFile | None,
        checkpoint: str | Path | None = None,
        device: str | None = None,
        kinds: Sequence[str] | None = None,
        views: ImageViews | None = None,
        least_score: float = 0.0,
        tile: int | None = None,
        overlap: int = 128,
        max_pixels: int = MAX_PIXELS,
        precision: str = "fp32",
    ) -> None:
        self.tiling = None if tile is None else Tiling(tile, overlap)
        self.least_score, self.max_pixels = least_score, max_pixels
        if isinstance(config, ExportedFile) or (checkpoint is None and is_exported(config)):
            self._open(config, device, kinds, views, precision)
        else:
            self._build(config, checkpoint, device, kinds, views, precision)
        steps = image_pipeline(self.config)
        self._prepare = Compose(views.pipeline(steps) if views else steps)
        averaging = dict(type="mmproscale.UniversalTTA", module=self.model)
        self._tested = MODELS.build(averaging) if views else self.model

    def _build(
        self,
        config: str | Path | Config | None,
        checkpoint: str | Path | None,
        device: str | None,
        kinds: Sequence[str] | None,
        views: ImageViews | None,
        precision: str,
    ) -> None:
        """Build a config's model and load its weights."""
        if checkpoint is None:
            config, checkpoint = None, _only_checkpoint(config)
        self.device = choose_device(device)
        check_precision(precision, self.device)
        if isinstance(config, Config):
            cfg = copy.deepcopy(config)
        else:
            cfg = load_config_for(config, checkpoint)
        require_keys(cfg, "model")
        check_keys(cfg, config or checkpoint)
        self._take_kinds(cfg, kinds, views)
        init_default_scope(cfg.get("default_scope", "mmdet"))
        self.model = MODELS.build(copy.deepcopy(cfg.model))  # mmdet's detectors change it
        meta = load_model_weights(self.model, checkpoint, cfg).get("meta") or {}
        set_precision(self.model.to(self.device).eval(), precision)
        self.categories = known_categories(meta.get("dataset_meta"), self.model, checkpoint)

    def _open(
        self,
        file: Any,
        device: str | None,
        kinds: Sequence[str] | None,
        views: ImageViews | None,
        precision: str,
    ) -> None:
        """Open an exported file, whose model preprocesses and fuses on the CPU."""
        self.device = torch.device("cpu")
        if not isinstance(file, ExportedFile):
            file = ExportedFile(file, device or "cpu")
        check_use(file, kinds, averaged=views is not None)
        if precision not in ("fp32", file.info.precision):
            raise InputError(
                f"precision {precision}: {file.path} is an exported file in "
                f"{file.info.precision}: leave precision out, or export with it"
            )
        cfg = file.info.model_config(file.path)
        self._take_kinds(cfg, kinds or (file.info.kind,), views)
        self.model = exported_model(file, cfg, device or "cpu")
        self.categories = file.info.categories

    def _take_kinds(
        self, cfg: Config, kinds: Sequence[str] | None, views: ImageViews | None
    ) -> None:
        if views:
            check_averageable(cfg)
        self.config, self.kinds = cfg, tuple(kinds or kinds_of(cfg))
        give_kinds(cfg, self.kinds)
        self._check_kind(cfg)

    def __call__(
        self, source: Any, batch_size: int = 1, bgr: bool = False
    ) -> Result | list[Result] | Iterator[Result]:
        """Predict a source's images.

        Args:
            source: A path of an image, folder, glob pattern or video; the index of a webcam; an
                array (H, W, 3) uint8; a Pillow image; a tensor (3, H, W) or (B, 3, H, W), uint8, or
                float in 0..1; a list of these.
            batch_size: Images that the model sees at once. Results do not depend on it.
            bgr: True for arrays in OpenCV's order of colours; otherwise they are RGB.

        Returns:
            The result of a single image; for a list or a batch of tensors a list in its order; for
            a folder, pattern, video or webcam an iterator, which reads images when they are needed.

        Raises:
            InputError: The source or an image can't be read; boxes are not finite.
            FloatingPointError: Logits are not finite.
        """
        results = self.stream(input_images(source, bgr), batch_size)
        if not is_many(source):
            return next(results)
        return results if isinstance(source, (str, Path, int)) else list(results)

    def stream(self, images: Iterable[InputImage], batch_size: int = 1) -> Iterator[Result]:
        """Yield each image's result in order; one batch is in memory at a time.

        Raises:
            InputError: As :meth:`predict`.
        """
        waiting = iter(images)
        while batch := list(islice(waiting, batch_size)):
            yield from self.predict(batch)

    def predict(self, images: Sequence[InputImage]) -> list[Result]:
        """Return the results of a batch of images, each as if it were the only one.

        Raises:
            InputError: An image can't be read, the model lacks a requested kind of result, or its
                boxes are not finite.
        """
        loaded = [replace(image, pixels=read_image(image)) for image in images]
        whole = iter(self._predict([image for image in loaded if not self._is_cut(image)]))
        return [
            self._predict_tiles(image, len(images)) if self._is_cut(image) else next(whole)
            for image in loaded
        ]

    def _is_cut(self, image: InputImage) -> bool:
        assert image.pixels is not None
        return self.tiling is not None and self.tiling.cuts(image.pixels.shape)

    @torch.no_grad()
    def _predict(self, images: Sequence[InputImage]) -> list[Result]:
        """Return the results of images that are in memory and fit into the model."""
        if not images:
            return []
        for image in images:
            self._check_size(image)
        samples = self._tested.test_step(pseudo_collate([self.prepare(image) for image in images]))
        return [self._result(*pair) for pair in zip(images, samples, strict=True)]

    def _predict_tiles(self, image: InputImage, batch_size: int) -> Result:
        """Return the result of a large image, of which ``batch_size`` tiles are seen at once."""
        assert self.tiling is not None and image.pixels is not None
        tiles = list(self.tiling.tiles(image.pixels.shape))
        parts = [replace(image, pixels=image.pixels[tile.window.slices]) for tile in tiles]
        batches = (
            self._predict(parts[i : i + batch_size]) for i in range(0, len(parts), batch_size)
        )
        results = (result for batch in batches for result in batch)
        rgb = np.ascontiguousarray(image.pixels[..., ::-1])
        return merge_tiles(rgb, parts[0], self.categories, zip(tiles, results, strict=True))

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of labels."""
        return [category["name"] for category in self.categories]

    @property
    def exit(self) -> int | None:
        """Number of encoder layers of every image; None for the gate's choice or the last exit.

        Raises:
            InputError: The model's encoder has no exits, or lacks the exit that is set.
        """
        return self._early_exits().exit

    @exit.setter
    def exit(self, layers: int | None) -> None:
        module = self._early_exits()
        schedule = module.encoder.schedule
        module.exit = None if layers is None else schedule.check_exits((layers,))[0]

    def _check_kind(self, config: Config) -> None:
        gives = "boxes" if self.kinds == ("boxes",) else "segments"
        if self.other and (gives == "boxes") == (self.other == "Detector"):
            raise InputError(f"a {config.model.type} gives {gives}: use mmproscale.{self.other}")

    def _early_exits(self) -> EarlyExits:
        for module in self.model.modules():
            if isinstance(module, EarlyExits):
                return module
        raise InputError(f"a {type(self.model).__name__} with this encoder has no early exits")

    def _check_size(self, image: InputImage) -> None:
        assert image.pixels is not None
        height, width = image.pixels.shape[:2]
        if height * width > self.max_pixels:
            raise InputError(
                f"image '{image.path or image.name}' has {height * width / 1e6:.0f} megapixels, "
                f"more than {self.max_pixels / 1e6:g}: cut it into tiles, or allow more if there "
                "is the memory"
            )

    def prepare(self, image: InputImage) -> dict[str, Any]:
        """Return the item of a dataloader for an image in memory.

        Raises:
            InputError: The image is too thin to be resized.
        """
        path = str(image.path or image.name)
        try:
            item = self._prepare({"img": image.pixels, "img_path": path, "img_id": 0})
        except cv2.error as error:
            assert image.pixels is not None
            height, width = image.pixels.shape[:2]
            raise InputError(
                f"image '{path}' of {width}x{height} pixels can't be resized for the model: it is "
                "too thin, so cut or pad it"
            ) from error
        views = item["data_samples"]
        for view in views if isinstance(views, list) else [views]:
            view.set_metainfo({"img_path": path})  # LoadImageFromNDArray drops it
        return item

    def _result(self, image: InputImage, sample: BaseDataElement) -> Result:
        for kind in self.kinds:
            if FIELDS[kind] not in sample:
                raise InputError(f"the model gives no {kind} result: set model.test_cfg.{kind}_on")
        assert image.pixels is not None
        rgb = np.ascontiguousarray(image.pixels[..., ::-1])
        result = result_in(sample, rgb, image.path, self.categories, self.kinds)
        return replace(result, name=image.name).above(self.least_score)


def result_in(
    sample: BaseDataElement,
    image: np.ndarray,
    path: Path | None,
    categories: Sequence[dict[str, Any]],
    kinds: Sequence[str] = tuple(FIELDS),
) -> Result:
    """Return the results of one image that a model's data sample has.

    Args:
        sample: The data sample; its results have the image's size.
        image: (H, W, 3) RGB uint8.
        path: The image's file, which names the result.
        categories: In the order of labels, as of :func:`known_categories`.
        kinds: Kinds of results to take, where the sample has them.
    """
    found: dict[str, Any] = {}
    fields = {FIELDS[kind] for kind in kinds if FIELDS[kind] in sample}
    if FIELDS["panoptic"] in fields:
        found["panoptic"], found["segments"] = segments_in(sample.pred_panoptic_seg, categories)
    if FIELDS["semantic"] in fields:
        found["semantic"] = _labels(sample.pred_sem_seg)
    if FIELDS["instance"] in fields:
        found["instances"] = instances_in(sample.pred_instances, categories)
    return Result(image, path.stem if path else "", path, categories, **found)


def _only_checkpoint(given: str | Path | Config | None) -> str | Path:
    """Return the only argument of a predictor, which must be a checkpoint."""
    if isinstance(given, (str, Path)) and is_checkpoint(str(given)):
        return given
    named = given.filename if isinstance(given, Config) else given
    raise InputError(f"{named} is a config: give a checkpoint after it")


def segments_in(
    panoptic: PixelData, categories: Sequence[dict[str, Any]]
) -> tuple[np.ndarray, list[Segment]]:
    """Return the id map (H, W) and the segments of a model's panoptic result."""
    scores: dict[int, float] = {}
    if "segment_values" in panoptic:
        pairs = zip(panoptic.segment_values.tolist(), panoptic.segment_scores.tolist(), strict=True)
        for value, score in pairs:  # queries of one stuff class share a value
            scores[value] = max(score, scores.get(value, 0.0))
    id_map, found = segments_of(panoptic.sem_seg[0].cpu().numpy(), categories, scores=scores)
    return id_map, [Segment.from_coco(one, categories) for one in found]


def instances_in(found: InstanceData, categories: Sequence[dict[str, Any]]) -> Instances:
    """Return a model's instances or boxes.

    Raises:
        InputError: Boxes or scores are not finite; a label is not one of the classes.
    """
    found = found.cpu()
    boxes, scores = found.bboxes.float(), found.scores.float()
    if not (boxes.isfinite().all() and scores.isfinite().all()):
        raise InputError(
            "the model gives boxes or scores that are not finite: its weights are NaN or too "
            "large, so use a checkpoint from before the training diverged"
        )
    labels = found.labels.numpy()
    return Instances(
        labels,
        [categories[label]["name"] for label in labels],
        scores.numpy(),
        boxes.numpy(),
        [categories[label]["id"] for label in labels],
        encode_masks(found.masks.numpy()) if "masks" in found else None,
    )


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
        if device.type != "cuda":
            torch.zeros(1, device=device).item()  # PyTorch knows devices that compute nothing here
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"device '{name}' is unknown or not here: use cpu or cuda") from error
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
    if "classes" not in meta and total is None:
        raise InputError(f"checkpoint {checkpoint} has no list of its classes")
    total = len(meta["classes"]) if total is None else total
    things: int = 0 if decode_head else getattr(head, "num_things_classes", total)
    if "classes" not in meta:
        return [{"id": i, "name": f"class {i}", "isthing": int(i < things)} for i in range(total)]
    if len(meta["classes"]) != total:
        raise InputError(
            f"checkpoint {checkpoint} has {len(meta['classes'])} classes but the config's model "
            f"has {total}: use the config that it was trained with"
        )
    return _categories_of(meta, things)


def _categories_of(meta: dict[str, Any], things: int) -> list[dict[str, Any]]:
    """Return the categories of a dataset's metainfo; ``thing_classes`` are things.

    If it names neither things nor stuff, the first ``things`` classes are things.
    """
    names: Sequence[str] = meta["classes"]
    # Label maps with 0 for void, such as ADE20K's, count classes from 1.
    first = int(bool(meta.get("reduce_zero_label")))
    numbers = range(first, first + len(names))
    ids = [category["id"] for category in meta.get("categories", ())] or numbers
    colors = meta.get("palette")
    if not isinstance(colors, (list, tuple)) or len(colors) != len(names):
        # A palette may be named, or be that of the dataset before its classes were chosen.
        colors = [None] * len(names)
    named = "thing_classes" in meta or "stuff_classes" in meta
    n_things = len(meta.get("thing_classes", ())) if named else things
    categories = []
    for label, (category_id, name, color) in enumerate(zip(ids, names, colors, strict=True)):
        category = {"id": int(category_id), "name": name, "isthing": int(label < n_things)}
        categories.append(category | ({"color": [int(v) for v in color]} if color else {}))
    return categories


class Segmenter(Predictor):
    """Trained model that gives segments: panoptic, instance or semantic results.

    Arguments and use are those of :class:`Predictor`::

        model = Segmenter("proscale_m2f_swin-t_coco", "weights.pth")
        result = model("street.jpg")
        result.plot().save("segments.jpg")

    Raises:
        InputError: As Predictor; the config is a detector's.
    """

    other = "Detector"


class Detector(Predictor):
    """Trained model that gives boxes, in ``result.instances``; otherwise as :class:`Segmenter`.

    Raises:
        InputError: As Predictor; the config is a segmentor's.
    """

    other = "Segmenter"
