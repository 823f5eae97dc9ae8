"""More objects than queries get the cheapest matches; fewer are matched as mmdet does."""

import pytest
import torch
from mmdet.models.task_modules.assigners import TopkHungarianAssigner
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment

from mmproscale.models.criterion.crowded_assigner import CrowdedAssigner

pytestmark = pytest.mark.usefixtures("scope")
META = dict(img_shape=(100, 100))


@pytest.fixture
def scope():
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def boxes(number):
    corner = torch.rand(number, 2) * 50
    return torch.cat([corner, corner + 10 + torch.rand(number, 2) * 30], 1)


def inputs(queries, objects):
    return torch.rand(queries, 5), boxes(queries), boxes(objects), torch.randint(0, 5, (objects,))


def test_few_objects_are_matched_as_mmdet_does():
    arguments = inputs(12, 3)
    ours, stock = (
        kind(topk=4).assign(*arguments, META) for kind in (CrowdedAssigner, TopkHungarianAssigner)
    )
    for name in ("gt_inds", "labels", "max_overlaps", "assign_metrics"):
        assert torch.equal(getattr(ours, name), getattr(stock, name))


def test_each_query_gets_an_object_and_the_sum_of_costs_is_least():
    scores, found, truth, labels = inputs(4, 9)
    assigner = CrowdedAssigner(topk=4)
    result = assigner.assign(scores, found, truth, labels, img_meta=META)
    taken = result.gt_inds - 1
    assert len(set(taken.tolist())) == 4 and result.num_gts == 9
    assert torch.equal(result.labels, labels[taken])
    costs = torch.stack(
        [_costs(assigner, scores, found, truth[[g]], labels[[g]]) for g in range(9)], 1
    )
    rows, columns = linear_sum_assignment(costs.numpy())
    assert costs[range(4), taken].sum() == costs[rows, columns].sum()
    assert (result.assign_metrics >= 0).all() and len(result.assign_metrics) == 4


def _costs(assigner, scores, found, truth, labels):
    queries = InstanceData(scores=scores, bboxes=found)
    objects = InstanceData(labels=labels, bboxes=truth)
    parts = (assigner.cls_cost, assigner.reg_cost, assigner.iou_cost)
    return sum(cost(queries, objects, META) for cost in parts)[:, 0]
