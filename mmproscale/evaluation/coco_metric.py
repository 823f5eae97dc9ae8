"""COCO's AP of boxes and masks, by mmdet's metric, of a file that is read as training reads it."""

from __future__ import annotations

import io
import math
import re
from contextlib import redirect_stdout
from typing import Any

from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric as StockCocoMetric
from mmengine.logging import MMLogger
from terminaltables import AsciiTable

from mmproscale.datasets.checks.instance_faults import instance_faults
from mmproscale.datasets.checks.lenient_instances import numbered, read_leniently
from mmproscale.datasets.formats.coco_json import read_coco_json
from mmproscale.errors import InputError
from mmproscale.registry import METRICS
from mmproscale.utils.command_names import command
from mmproscale.utils.faults import refuse


@METRICS.register_module()
class CocoMetric(StockCocoMetric):
    """mmdet's ``CocoMetric``, with a ground truth in which pycocotools makes no silent mistakes.

    Figures are in percent, as those of our other metrics; an AP of nothing is NaN. After
    ``evaluate``, ``report`` holds them in 0..1 on the main process.

    The annotations are numbered from 1: pycocotools takes an object with the id 0 for unmatched.
    Keys that COCO makes optional are filled in, as `read_leniently` does for training.

    Args:
        ann_file: COCO instances JSON.
        sort_categories: Sort the categories by id.
        kwargs: Arguments of mmdet's class.

    Raises:
        InputError: The file is missing or has a fault; there is nothing to score; objects have no
            masks and ``metric`` has ``segm``.
    """

    def __init__(
        self, ann_file: str | None = None, *args: Any, sort_categories: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(None, *args, sort_categories=sort_categories, **kwargs)
        self.report: dict[str, float] = {}
        if ann_file is None:
            return
        content = self._read(ann_file)
        if sort_categories:
            content["categories"] = sorted(content["categories"], key=lambda entry: entry["id"])
        self._coco_api = COCO()
        self._coco_api.dataset = content
        with redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            self._coco_api.createIndex()
        self._coco_api.img_ann_map = self._coco_api.imgToAnns
        self._coco_api.cat_img_map = self._coco_api.catToImgs

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return mmdet's figures in percent, and log those of classes if ``classwise``."""
        with redirect_stdout(io.StringIO()) as printed:  # pycocotools prints shares of 1
            stock = super().compute_metrics(results)
        MMLogger.get_current_instance().info(in_percent(printed.getvalue()))
        shares = {
            name: math.nan if value == -1 else value  # COCO's figure of no object
            for name, value in stock.items()
        }
        self.report = {f"{self.prefix}/{name}": value for name, value in shares.items()}
        figures = {name: 100 * value for name, value in shares.items()}
        ending = "_precision"
        rows = [[n.removesuffix(ending), f"{v:.1f}"] for n, v in figures.items() if ending in n]
        if rows:
            table = AsciiTable([["class", "AP, percent"], *rows])
            MMLogger.get_current_instance().info(f"AP of each class:\n{table.table}")
        return figures

    def _read(self, ann_file: str) -> dict[str, Any]:
        content = read_coco_json(ann_file, need_annotations=False, backend_args=self.backend_args)
        if not content["annotations"]:
            raise InputError(
                f"'{ann_file}' has no object to score ({len(content['images'])} images): give the "
                f"annotated file; {command('predict')} needs none"
            )
        content, _ = read_leniently(content, ann_file)
        refuse(instance_faults(content, ann_file, True, need_masks="segm" in self.metrics))
        return content | {"annotations": numbered(content["annotations"])}


def in_percent(printed: str) -> str:
    """Return the figures that pycocotools has printed, in percent; '-' where there is no object."""
    lines = ["COCO's figures, percent:"]
    for line in printed.splitlines():
        if figure := re.fullmatch(r" (Average .*) = (-?\d\.\d+)", line):
            share = float(figure[2])
            lines.append(f"{figure[1]} = {100 * share:.1f}" if share >= 0 else f"{figure[1]} = -")
        elif kind := re.fullmatch(r"Evaluate annotation type \*(\w+)\*", line):
            lines.append(f"{kind[1]}:")
    return "\n".join(lines)
