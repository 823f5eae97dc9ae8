"""Matching of all layers at once against mmdet's assigner, layer by layer."""

import pytest
import torch
from helpers.heads import same_points_for_all
from mmdet.models.task_modules import HungarianAssigner
from mmdet.models.task_modules.assigners import CrossEntropyLossCost
from mmengine.structures import InstanceData

from mmproscale.models.criterion import QueryPredictions, Targets, matching
from mmproscale.models.criterion.matching import match, mean_cross_entropy
from mmproscale.models.criterion.points import sample

COSTS = [
    dict(type="mmdet.ClassificationCost", weight=2.0),
    dict(type="mmdet.CrossEntropyLossCost", weight=5.0, use_sigmoid=True),
    dict(type="mmdet.DiceCost", weight=5.0, pred_act=True, eps=1.0),
]
ANOTHER_KIND = [dict(type="mmdet.FocalLossCost", weight=1.0, binary_input=True)]
LAYERS, QUERIES, CLASSES, POINTS = 4, 9, 6, 50


@pytest.fixture
def assigner():
    return HungarianAssigner(COSTS)


def predictions(images=3):
    return QueryPredictions(
        class_logits=torch.randn(LAYERS, images, QUERIES, CLASSES + 1),
        mask_embeddings=torch.randn(LAYERS, images, QUERIES, 8),
        mask_features=torch.randn(images, 8, 12, 10),
    )


def ground_truth(*segments):
    return [
        Targets(torch.randint(0, CLASSES, (n,)), torch.randn(n, 48, 40) > 0.2) for n in segments
    ]


@pytest.mark.parametrize("costs", [COSTS, ANOTHER_KIND], ids=["Mask2Former's", "another kind"])
@pytest.mark.parametrize("segments", [(3, 5, 1), (0, 4, 9), (14, 2, 0), (0, 0, 0)])
def test_is_mmdets_assignment(monkeypatch, segments, costs):
    assigner = HungarianAssigner(costs)
    rand = same_points_for_all()
    monkeypatch.setattr(torch, "rand", rand)
    predicted, targets = predictions(), ground_truth(*segments)
    matches = match(predicted, targets, assigner.match_costs, POINTS)
    points = rand(1, POINTS, 2)
    for image, (queries, of_queries) in enumerate(matches):
        own = targets[image]
        assert queries.shape == (LAYERS, min(QUERIES, len(own.labels)))
        if not len(own.labels):
            continue
        truth = InstanceData(labels=own.labels, masks=sample(own.masks[None].float(), points)[0])
        for layer in range(LAYERS):
            masks = sample(predicted.masks(layer)[image, None], points)[0]
            scores = predicted.class_logits[layer, image]
            assigned = assigner.assign(InstanceData(scores=scores, masks=masks), truth).gt_inds
            expected = {(q, int(assigned[q]) - 1) for q in range(QUERIES) if assigned[q] > 0}
            assert (
                set(zip(queries[layer].tolist(), of_queries[layer].tolist(), strict=True))
                == expected
            )


def test_steps_do_not_matter(monkeypatch, assigner):
    monkeypatch.setattr(torch, "rand", same_points_for_all())
    predicted, targets = predictions(), ground_truth(3, 5, 1)
    expected = match(predicted, targets, assigner.match_costs, POINTS)
    monkeypatch.setattr(matching, "LOGITS_PER_STEP", 1)
    for mine, whole in zip(
        match(predicted, targets, assigner.match_costs, POINTS), expected, strict=True
    ):
        assert all(torch.equal(a, b) for a, b in zip(mine, whole, strict=True))


def test_cross_entropy_is_mmdets_for_small_and_large_logits():
    logits = torch.randn(6, 100) * 40
    targets = (torch.rand(3, 100) > 0.5).float() * torch.rand(3, 100)
    cost = CrossEntropyLossCost(use_sigmoid=True)
    expected = cost(InstanceData(masks=logits), InstanceData(masks=targets))
    torch.testing.assert_close(mean_cross_entropy(logits, targets), expected)


def test_all_costs_leave_the_device_in_one_transfer(monkeypatch, assigner):
    transfers = []
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: transfers.append(self.shape) or cpu(self))
    match(predictions(), ground_truth(3, 5, 1), assigner.match_costs, POINTS)
    assert transfers == [(LAYERS * QUERIES * (3 + 5 + 1),)]


def test_a_cost_that_is_no_number_is_refused(assigner):
    predicted = predictions()
    predicted.mask_features[1, 0] = float("inf")
    with pytest.raises(FloatingPointError, match="not finite"):
        match(predicted, ground_truth(3, 5, 1), assigner.match_costs, POINTS)
