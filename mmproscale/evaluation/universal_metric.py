"""Metric that mmengine calls: PQ, mIoU and AP of a dataloader's images, in one pass."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import (
    all_gather_object,
    all_reduce,
    broadcast_object_list,
    gather_object,
    get_rank,
    is_main_process,
)
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from mmproscale.datasets.formats.panoptic_png import encode_png, segments_of
from mmproscale.errors import InputError
from mmproscale.evaluation.average_precision import average_precision, check_backend
from mmproscale.evaluation.ground_truth import InstanceGroundTruth, PanopticGroundTruth
from mmproscale.evaluation.image_accounting import batch_ids, check_batch, own_images
from mmproscale.evaluation.image_score import ImageScore, ImageScorer
from mmproscale.evaluation.model_predictions import panoptic_map, prediction_of
from mmproscale.evaluation.report import add_up, make_report, named_percentages, report_table
from mmproscale.registry import METRICS
from mmproscale.utils.atomic_files import atomic_write_bytes, atomic_write_text
from mmproscale.utils.json_values import nan_to_null


@METRICS.register_module()
class UniversalSegMetric(BaseMetric):
    """Panoptic quality, mIoU and mask AP against COCO panoptic ground truth.

    PQ equals panopticapi's. mIoU is over the classes of the panoptic annotation, as detectron2 and
    Mask2Former paint them: a crowd counts for its class, void is ignored. AP is COCO's mask AP of
    things.

    Every image of the dataloader counts once, on any process. Images repeated to fill up the last
    batch don't count again, and a lost or doubled image is an error. A subset of a dataset gives
    the figures of that subset. Processes add up whole numbers, so figures don't depend on the
    number of processes. Figures over no class are NaN.

    After ``evaluate``, ``report`` holds all figures in 0..1 (see ``make_report``). Only the main
    process has the figures of each image.

    Args:
        ann_file: COCO panoptic JSON of the ground truth.
        seg_prefix: Folder of its PNGs; by default the JSON's path without ``.json``.
        kinds: Some of ``panoptic``, ``semantic`` and ``instance``.
        instances_file: COCO instances JSON for AP; by default AP is against the things of the
            panoptic annotation.
        ap_backend: ``hotcoco``, or ``pycocotools`` for AP that is to be published.
        per_image: True to report PQ of each image, also in ``PREFIX.per_image.json``.
        outfile_prefix: ``PREFIX`` of the files that keep the panoptic predictions,
            ``PREFIX.panoptic.json`` and ``PREFIX.panoptic/``, on a disk that all processes share;
            not kept by default.
        classwise: True to list every class in the table.
        prefix: First part of the figures' names, instead of ``universal``.

    Raises:
        InputError: A file or folder is missing or has a fault; a kind or backend is unknown; an
            option is set without the kind that it belongs to.
    """

    default_prefix = "universal"

    def __init__(
        self,
        ann_file: str,
        seg_prefix: str | None = None,
        kinds: Sequence[str] = ("panoptic",),
        instances_file: str | None = None,
        ap_backend: str = "hotcoco",
        per_image: bool = False,
        outfile_prefix: str | None = None,
        classwise: bool = False,
        prefix: str | None = None,
    ) -> None:
        super().__init__(prefix=prefix)
        check_backend(ap_backend)
        if (per_image or outfile_prefix) and "panoptic" not in kinds:
            raise InputError("per_image and outfile_prefix need 'panoptic' among kinds")
        if instances_file and "instance" not in kinds:
            raise InputError("instances_file is for AP: add 'instance' to kinds")
        self.truth = PanopticGroundTruth(ann_file, seg_prefix)
        instances = InstanceGroundTruth(instances_file, self.truth) if instances_file else None
        self.scorer = ImageScorer(self.truth, kinds, instances)
        self.ap_backend, self.per_image, self.classwise = ap_backend, per_image, classwise
        self.outfile_prefix = outfile_prefix
        self.report: dict[str, Any] = {}
        self._kept: dict[Any, dict] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare each image with its ground truth and keep its counts.

        Args:
            data_batch: The dataloader's batch; its images must be those of ``data_samples``.
            data_samples: The model's predictions as dicts, at the images' own sizes: ``img_id``
                and, for the metric's kinds, ``pred_panoptic_seg.sem_seg`` (1, H, W) in mmdet's
                code, ``pred_sem_seg.sem_seg`` (1, H, W) labels, ``pred_instances`` with
                ``labels`` (N,), ``scores`` (N,) and ``masks`` (N, H, W) bool.

        Raises:
            InputError: A result is missing or has labels that the data does not have; an image has
                no result or several, is not annotated, or has the wrong size.
        """
        self._check_classes()
        check_batch(batch_ids(data_batch), [sample["img_id"] for sample in data_samples])
        for sample in data_samples:
            prediction = prediction_of(sample, self.scorer)
            self.results.append(self.scorer.score(sample["img_id"], prediction))
            if self.outfile_prefix:
                self._keep(sample)

    def _check_classes(self) -> None:
        """Check that the dataset and this JSON have the same classes, so that labels agree."""
        names = (self.dataset_meta or {}).get("classes")
        if names is not None and list(names) != [c["name"] for c in self.truth.categories]:
            raise InputError(
                f"classes of the dataset ({len(names)}) and of {self.truth.ann_file} "
                f"({len(self.truth.categories)}) differ: use one ann_file in dataloader and "
                "evaluator"
            )

    def _keep(self, sample: dict) -> None:
        """Write one predicted PNG, named as the ground truth's."""
        image_id = sample["img_id"]
        sem_seg, ignore_index = panoptic_map(sample)
        id_map, segments = segments_of(sem_seg, self.truth.categories, ignore_index)
        name = str(Path(self.truth.annotations[image_id]["file_name"]).with_suffix(".png"))
        atomic_write_bytes(Path(f"{self.outfile_prefix}.panoptic") / name, encode_png(id_map))
        entry = {"image_id": image_id, "file_name": name, "segments_info": segments}
        self._kept[image_id] = entry

    def evaluate(self, size: int) -> dict[str, float]:
        """Compute the figures of all images, the same on every process.

        Args:
            size: Length of the dataset.

        Returns:
            PQ, SQ, RQ, PQ_th, ..., RQ_st, mIoU, AP, AP50, AP75, APs, APm, APl in percent, those
            of the metric's kinds, under its prefix.

        Raises:
            InputError: A lost or doubled image, on every process.
        """
        try:
            ids = all_gather_object([score.image_id for score in self.results])
            own = own_images(ids, get_rank(), size, list(self.truth.images))
            figures = self.compute_metrics([self.results[index] for index in own])
        finally:
            self.results.clear()
            self._kept.clear()
        return {f"{self.prefix}/{name}": value for name, value in figures.items()}

    def compute_metrics(self, results: list[ImageScore]) -> dict[str, float]:
        """Add up over processes; each of them passes the images that count on it."""
        categories = self.truth.categories
        totals = add_up(results, len(categories), self.scorer.kinds)
        for counts in totals.values():
            all_reduce(torch.from_numpy(counts))
        number = sum(all_gather_object(len(results)))
        precision = self._precision(results) if "instance" in self.scorer.kinds else None
        per_image = None
        if self.per_image:
            per_image = self._gathered({s.image_id: s.counts["panoptic"] for s in results})
        self.report = make_report(number, totals, precision, per_image, categories)
        self._write(results)
        if is_main_process():
            table = report_table(self.report, categories, self.classwise)
            MMLogger.get_current_instance().info(
                f"Figures in percent, {number} of the {len(self.truth.annotations)} images of "
                f"{self.truth.ann_file}:\n{table}"
            )
        return named_percentages(self.report)

    def _precision(self, results: list[ImageScore]) -> dict[str, Any] | None:
        """AP, which the main process computes, since it needs all detections in one place."""
        images = list(self._gathered({s.image_id: s.instances for s in results}).values())
        answer: list[dict[str, Any] | None] = [None]
        if is_main_process():
            answer = [average_precision(images, self.truth.things, self.ap_backend)]
        broadcast_object_list(answer)
        return answer[0]

    def _gathered(self, of_images: dict[Any, Any]) -> dict[Any, Any]:
        """All processes' entries, in the annotation file's order; empty except on the main one."""
        parts = gather_object(of_images) or []
        merged = {image_id: entry for part in parts for image_id, entry in part.items()}
        return {image_id: merged[image_id] for image_id in self.truth.images if image_id in merged}

    def _write(self, results: list[ImageScore]) -> None:
        """Write the files of ``outfile_prefix`` on the main process."""
        if not self.outfile_prefix:
            return
        own = {score.image_id: self._kept[score.image_id] for score in results}
        kept = list(self._gathered(own).values())
        if not is_main_process():
            return
        content = {"annotations": kept, "categories": self.truth.categories}
        atomic_write_text(f"{self.outfile_prefix}.panoptic.json", json.dumps(content))
        if self.per_image:
            text = json.dumps(nan_to_null(self.report["per_image"]))
            atomic_write_text(f"{self.outfile_prefix}.per_image.json", text)
