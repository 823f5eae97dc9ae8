"""Instances of fusion: pairs of query and class, scores, and boxes."""

import torch
from helpers.fusion import FRAME

from mmproscale.models.fusion.instance import instances, mask_boxes


def test_max_per_image_may_exceed_the_number_of_pairs():
    found = instances(torch.randn(3, 3), torch.randn(3, 2, 3), FRAME, 2, max_per_image=100)
    assert len(found) == 6
    assert sorted(found.labels.tolist()) == [0, 0, 0, 1, 1, 1]


def test_boxes_enclose_the_pixels_and_empty_masks_have_zeros():
    masks = torch.zeros(3, 5, 7, dtype=torch.bool)
    masks[0, 1:3, 2:6] = True
    masks[2, 4, 6] = True
    assert mask_boxes(masks).tolist() == [[2, 1, 6, 3], [0, 0, 0, 0], [6, 4, 7, 5]]


def test_without_queries_there_are_no_instances():
    found = instances(torch.zeros(0, 4), torch.zeros(0, 2, 3), FRAME, 2)
    assert len(found) == 0 and found.masks.shape == (0, 8, 12)


def test_score_is_class_score_times_mean_probability_within_the_mask():
    masks = torch.full((1, 8, 12), -2.0)
    masks[0, :2] = 1.0
    (found,) = instances(torch.tensor([[3.0, 0.0]]), masks, FRAME, num_things=1)
    expected = torch.tensor([3.0, 0.0]).softmax(0)[0] * torch.tensor(1.0).sigmoid()
    torch.testing.assert_close(found.scores, expected[None])
    assert found.bboxes.tolist() == [[0, 0, 12, 2]]
