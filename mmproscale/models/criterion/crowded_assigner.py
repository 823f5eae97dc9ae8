"""Assigner of DDQ's dense queries that takes more objects than queries."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.task_modules.assigners import TopkHungarianAssigner
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor


class CrowdedAssigner(TopkHungarianAssigner):
    """mmdet's TopkHungarianAssigner, which has no match for any object if there are too many.

    Each query is then matched to one object, and the other objects have no match, as in mmdet's
    assigner of the other queries.
    """

    def assign(
        self,
        pred_scores: Tensor,
        decode_bboxes: Tensor,
        gt_bboxes: Tensor,
        gt_labels: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Match as mmdet does; arguments and result are mmdet's."""
        queries, objects = len(pred_scores), len(gt_bboxes)
        if objects > queries:
            found = InstanceData(scores=pred_scores, bboxes=decode_bboxes)
            truth = InstanceData(labels=gt_labels, bboxes=gt_bboxes)
            kept = self._cheapest(found, truth, args[0] if args else kwargs["img_meta"])
            gt_bboxes, gt_labels = gt_bboxes[kept], gt_labels[kept]
        result = super().assign(pred_scores, decode_bboxes, gt_bboxes, gt_labels, *args, **kwargs)
        if objects > queries:
            result.gt_inds = kept[result.gt_inds - 1] + 1  # every query has a match
            result.num_gts = objects
        return result

    @torch.no_grad()
    def _cheapest(self, found: InstanceData, truth: InstanceData, meta: dict) -> Tensor:
        """Return the objects that the cheapest matching of all queries takes."""
        costs = [cost(found, truth, meta) for cost in (self.cls_cost, self.reg_cost, self.iou_cost)]
        _, objects = linear_sum_assignment(sum(costs).cpu().numpy())
        return torch.from_numpy(objects).to(truth.labels.device)
