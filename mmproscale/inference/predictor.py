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
from mmengine.structures import BaseDataElement

from mmproscale.checkpoints.any_source import load_model_weights
from mmproscale.checkpoints.model_config import is_checkpoint, load_config_for
from mmproscale.errors import InputError
from mmproscale.inference.export_info import is_exported
from mmproscale.inference.exported_file import ExportedFile
from mmproscale.inference.exported_model import check_use, exported_model
from mmproscale.inference.image_sources import InputImage, input_images, is_many, read_image
from mmproscale.inference.image_views import ImageViews, check_averageable
from mmproscale.inference.model_categories import known_categories
from mmproscale.inference.result_kinds import FIELDS, give_kinds, kinds_of
from mmproscale.inference.results import Result
from mmproscale.inference.sample_results import result_in
from mmproscale.inference.tile_merging import merge_tiles
from mmproscale.inference.tiles import Tiling
from mmproscale.models.config_keys import check_keys
from mmproscale.models.encoders.exit_gate import EarlyExits
from mmproscale.models.precision import check_precision, set_precision
from mmproscale.utils.config import require_keys
from mmproscale.utils.devices import choose_device

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


def _only_checkpoint(given: str | Path | Config | None) -> str | Path:
    """Return the only argument of a predictor, which must be a checkpoint."""
    if isinstance(given, (str, Path)) and is_checkpoint(str(given)):
        return given
    named = given.filename if isinstance(given, Config) else given
    raise InputError(f"{named} is a config: give a checkpoint after it")


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
