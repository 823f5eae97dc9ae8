"""Pictures of every validation: predictions next to ground truth, and the learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.fileio import get
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmproscale.datasets.formats.images import decode_image
from mmproscale.inference.encoded_images import encode_jpg
from mmproscale.inference.model_categories import known_categories
from mmproscale.inference.pictures.comparison import comparison, stacked
from mmproscale.inference.pictures.panoptic_picture import Panel
from mmproscale.inference.results import Result
from mmproscale.inference.sample_results import result_in
from mmproscale.registry import HOOKS
from mmproscale.training.check_hooks import unwrapped
from mmproscale.training.learning_curve import draw_learning_curve
from mmproscale.training.run_options import show_in_trackers
from mmproscale.utils.atomic_files import atomic_write_bytes, ensure_writable_dir

FOLDER, CURVE = "validation", "learning_curve.png"
Truth = Panel | list[dict[str, Any]] | None


@HOOKS.register_module()
class ValidationPicturesHook(Hook):
    """Hook that draws the same images at each validation: ``WORK_DIR/validation/step_N.jpg``.

    The images are spread evenly over those that the main process validates. The learning curve is
    drawn to ``WORK_DIR/learning_curve.png``. A picture that can't be drawn is a warning.

    Args:
        images: Number of images; 0 for none.
    """

    priority = "LOW"  # after the logger hook, whose figures the curve shows

    def __init__(self, images: int = 8) -> None:
        self.images = images
        self._seen = 0
        self._rows: list[np.ndarray] = []

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin with the first image."""
        self._seen, self._rows = 0, []

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Draw the batch's chosen images."""
        total = len(runner.val_dataloader.sampler)
        chosen = {place * total // self.images for place in range(min(self.images, total))}
        for place, sample in enumerate(outputs or (), self._seen):
            if place in chosen and is_main_process():
                self._try(runner, lambda sample=sample: self._rows.append(drawn(runner, sample)))
        self._seen += len(outputs or ())

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the sheet and the curve."""
        if not is_main_process() or runner._train_loop is None:
            return
        folder = Path(runner.work_dir)
        if self._rows:
            sheet = stacked(self._rows)
            self._try(runner, lambda: _write(sheet, folder / FOLDER, runner.iter))
            self._try(runner, lambda: show_in_trackers(runner, FOLDER, sheet))
        self._try(runner, lambda: draw_learning_curve(folder, folder / CURVE))

    def _try(self, runner: Runner, draw: Any) -> None:
        try:
            draw()
        except Exception as error:  # a training must not end for want of a picture
            runner.logger.warning(f"a picture was not drawn ({type(error).__name__}: {error})")


def _write(sheet: np.ndarray, folder: Path, step: int) -> None:
    ensure_writable_dir(folder)
    atomic_write_bytes(folder / f"step_{step}.jpg", encode_jpg(sheet))


def drawn(runner: Runner, sample: Any) -> np.ndarray:
    """Draw one image's prediction and its ground truth, where a metric or the sample has that."""
    loop = runner.val_loop
    categories = known_categories(loop.dataloader.dataset.metainfo, unwrapped(runner.model), "")
    pixels = decode_image(get(sample.img_path))
    assert pixels is not None, f"{sample.img_path} can't be decoded"
    image = np.ascontiguousarray(pixels[..., ::-1])
    result = result_in(sample, image, Path(sample.img_path), categories)
    return comparison(result, _truth(result, sample, loop.evaluator.metrics))


def _truth(result: Result, sample: Any, metrics: Sequence[Any]) -> Truth:
    """Return a panel or, for boxes, COCO's annotations; None where nothing knows the truth."""
    kind, shape = result.kinds[0], result.image.shape[:2]
    for metric in metrics:
        if kind == "panoptic" and hasattr(metric, "truth"):
            ids, found = metric.truth.read(sample.img_id, shape)
            labels = zip(found.ids.tolist(), found.labels.tolist(), strict=True)
            segments = [dict(id=i, category_id=result.categories[n]["id"]) for i, n in labels]
            return "ground truth", ids, segments
        if kind in ("instance", "boxes") and getattr(metric, "_coco_api", None):
            return _objects(result, metric._coco_api, sample.img_id)
    if kind == "semantic" and "gt_sem_seg" in sample:
        labels = sample.gt_sem_seg.data[0].cpu().numpy().astype(np.int64)
        return "ground truth", *_label_panel(labels, result.categories)
    return None


def _label_panel(labels: np.ndarray, categories: Sequence[dict[str, Any]]) -> tuple:
    ids = np.where(labels < len(categories), labels + 1, 0)  # 255 is void
    present = [int(number) for number in np.unique(ids) if number]
    return ids, [dict(id=n, category_id=categories[n - 1]["id"]) for n in present]


def _objects(result: Result, api: Any, image_id: Any) -> Truth:
    """Return the objects that COCO's annotations have in an image."""
    known = {category["name"]: category["id"] for category in result.categories}
    objects = [
        one | dict(category_id=known[api.cats[one["category_id"]]["name"]], score=1.0)
        for one in api.imgToAnns[image_id]
        if api.cats[one["category_id"]]["name"] in known
    ]
    if result.kinds[0] == "boxes":
        return objects
    ids = np.zeros(result.image.shape[:2], np.int32)
    for number, one in enumerate(objects, 1):
        ids[api.annToMask(one).astype(bool)] = number
    segments = [
        dict(id=n, category_id=one["category_id"], iscrowd=one.get("iscrowd", 0))
        for n, one in enumerate(objects, 1)
        if (ids == n).any()
    ]
    return "ground truth", ids, segments
