"""The panoptic metric of our configs: PQ, SQ, RQ over the images that a dataloader gave."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from mmproscale.datasets.panoptic_files import order_categories, read_panoptic_json
from mmproscale.engine.atomic_files import atomic_write_bytes, atomic_write_text
from mmproscale.errors import InputError
from mmproscale.evaluation.panoptic_format import encode_png, segments_of
from mmproscale.evaluation.panoptic_quality import (
    named_percentages,
    panoptic_quality,
    quality_table,
)
from mmproscale.registry import METRICS


@METRICS.register_module()
class PanopticMetric(BaseMetric):
    """Panoptic quality against a COCO panoptic JSON and its folder of PNGs.

    Figures equal panopticapi's. Only images that the dataloader gave are scored, each once, so a
    subset of a dataset gives the figures of that subset, and images repeated to fill the last
    batch of a distributed run don't count twice. Figures over no class are NaN.

    Args:
        ann_file: COCO panoptic JSON of the ground truth.
        seg_prefix: Folder of its PNGs; by default the JSON's path without ``.json``.
        outfile_prefix: Where to keep the predictions, as ``PREFIX.panoptic.json`` and
            ``PREFIX.panoptic/``; by default they are not kept.
        classwise: Whether the table lists every class.
        collect_device: Where distributed results are gathered, ``cpu`` or ``gpu``.
        prefix: Put before the names of the figures instead of ``coco_panoptic``.

    Raises:
        InputError: The JSON or the folder is missing or is not what it should be.
    """

    default_prefix = "coco_panoptic"

    def __init__(
        self,
        ann_file: str,
        seg_prefix: str | None = None,
        outfile_prefix: str | None = None,
        classwise: bool = True,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ann_file = Path(ann_file)
        self.seg_prefix = Path(seg_prefix) if seg_prefix else self.ann_file.with_suffix("")
        self.outfile_prefix = outfile_prefix
        self.classwise = classwise
        ground_truth = read_panoptic_json(str(ann_file))
        if not self.seg_prefix.is_dir():
            raise InputError(f"seg_prefix {self.seg_prefix} is not a folder: name that of the PNGs")
        self.categories = order_categories(ground_truth["categories"], str(ann_file))
        self.images = {image["id"]: image for image in ground_truth["images"]}
        self.annotations = {a["image_id"]: self._checked(a) for a in ground_truth["annotations"]}

    def _checked(self, annotation: dict) -> dict:
        """An annotation with a ``file_name``, by default its image's as PNG."""
        image_id = annotation.get("image_id")
        if "segments_info" not in annotation or image_id not in self.images:
            problem = "no segments_info" if image_id in self.images else "no such image"
            raise InputError(
                f"{self.ann_file}: annotation of image {image_id} has {problem}: correct it"
            )
        png = Path(self.images[image_id]["file_name"]).with_suffix(".png")
        return {"file_name": str(png)} | annotation

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep each image's segments and its id map, encoded as PNG (a few KB).

        Args:
            data_batch: Not used.
            data_samples: The model's predictions as dicts with ``img_id`` and
                ``pred_panoptic_seg.sem_seg``, (1, H, W), at the image's own size.

        Raises:
            InputError: No panoptic result, an image that the JSON lacks, or the wrong size.
        """
        self._check_classes()
        for sample in data_samples:
            image_id, sem_seg = sample["img_id"], _panoptic_map(sample)
            self._check_image(image_id, sem_seg.shape)
            ignore_index = sample["pred_panoptic_seg"].get("ignore_index")
            id_map, segments = segments_of(sem_seg, self.categories, ignore_index)
            self.results.append(
                {"image_id": image_id, "segments_info": segments, "png": encode_png(id_map)}
            )

    def _check_classes(self) -> None:
        """Labels mean the same only if the dataset and this JSON list the same classes."""
        names = (self.dataset_meta or {}).get("classes")
        if names is not None and list(names) != [c["name"] for c in self.categories]:
            raise InputError(
                f"classes of the dataset ({len(names)}) and of {self.ann_file} "
                f"({len(self.categories)}) differ: use one ann_file in dataloader and evaluator"
            )

    def _check_image(self, image_id: Any, shape: tuple[int, ...]) -> None:
        if image_id not in self.annotations:
            raise InputError(
                f"image {image_id} is predicted but not annotated in {self.ann_file}: "
                "use one ann_file in dataloader and evaluator"
            )
        image = self.images.get(image_id, {})
        expected = (image.get("height", shape[0]), image.get("width", shape[1]))
        if tuple(shape) != expected:
            raise InputError(
                f"prediction for {image.get('file_name', image_id)} is {shape[0]}x{shape[1]} but "
                f"{self.ann_file} says {expected[0]}x{expected[1]} (height x width): correct the "
                "file, or rescale predictions to the original size"
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Score all images; runs on the main process only.

        Returns:
            PQ, SQ, RQ, PQ_th, SQ_th, RQ_th, PQ_st, SQ_st, RQ_st in percent.
        """
        once = list({result["image_id"]: result for result in reversed(results)}.values())[::-1]
        with tempfile.TemporaryDirectory(prefix="panoptic_metric_") as scratch:
            quality = self._score(once, Path(scratch))
        table = quality_table(quality, self.categories, self.classwise)
        logger = MMLogger.get_current_instance()
        logger.info(
            f"Panoptic quality in percent, {len(once)} of the {len(self.annotations)} images of "
            f"{self.ann_file}:\n{table}"
        )
        return named_percentages(quality)

    def _score(self, results: list[dict], scratch: Path) -> dict[str, Any]:
        """Write both sides in COCO's format and compare them."""
        kept = self.outfile_prefix is not None
        folder = Path(f"{self.outfile_prefix}.panoptic") if kept else scratch / "predictions"
        predictions = [self._write_prediction(result, folder) for result in results]
        if kept:
            content = {"annotations": predictions, "categories": self.categories}
            atomic_write_text(f"{folder}.json", json.dumps(content))
        truth = _numbered([self.annotations[p["image_id"]] for p in predictions])
        images = [{"id": a["image_id"], "file_name": a["file_name"]} for a in truth]
        content = {"images": images, "annotations": truth, "categories": self.categories}
        (scratch / "truth.json").write_text(json.dumps(content))
        content = {"annotations": _numbered(predictions)}
        (scratch / "predictions.json").write_text(json.dumps(content))
        return panoptic_quality(
            scratch / "truth.json", self.seg_prefix, scratch / "predictions.json", folder
        )

    def _write_prediction(self, result: dict, folder: Path) -> dict[str, Any]:
        """Write one PNG, named as the ground truth's; return its entry of the JSON."""
        name = Path(self.annotations[result["image_id"]]["file_name"]).with_suffix(".png")
        atomic_write_bytes(folder / name, result["png"])
        return {
            "image_id": result["image_id"],
            "file_name": str(name),
            "segments_info": result["segments_info"],
        }


def _numbered(annotations: list[dict]) -> list[dict]:
    """Number the images whose ids are names (Cityscapes): hotcoco takes whole numbers only."""
    return [
        a if isinstance(a["image_id"], int) else a | {"image_id": number}
        for number, a in enumerate(annotations)
    ]


def _panoptic_map(sample: dict) -> np.ndarray:
    """The (H, W) map in a prediction."""
    if "pred_panoptic_seg" not in sample:
        raise InputError("the model gives no panoptic result: set panoptic_on=True in its test_cfg")
    sem_seg = sample["pred_panoptic_seg"]["sem_seg"]
    return torch.as_tensor(sem_seg).cpu().numpy()[0]
