"""COCO's AP of boxes and masks, by mmdet's metric, of a file that is read as training reads it."""

from __future__ import annotations

from typing import Any

from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric as StockCocoMetric

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
        if ann_file is None:
            return
        content = self._read(ann_file)
        if sort_categories:
            content["categories"] = sorted(content["categories"], key=lambda entry: entry["id"])
        self._coco_api = COCO()
        self._coco_api.dataset = content
        self._coco_api.createIndex()
        self._coco_api.img_ann_map = self._coco_api.imgToAnns
        self._coco_api.cat_img_map = self._coco_api.catToImgs

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
