"""Semantic fusion against its definition."""

import torch
from helpers.fusion import FRAME, random_case

from mmproscale.models.fusion import image_frame
from mmproscale.models.fusion.semantic import class_scores, semantic_map


def test_scores_are_class_times_mask_probability(monkeypatch):
    monkeypatch.setattr(image_frame, "PIXELS_AT_ONCE", 1)
    for seed in range(50):
        classes, masks, frame, _, _ = random_case(seed)
        shares = classes.softmax(-1)[:, :-1]
        expected = torch.einsum("qc,qhw->chw", shares, frame.resize(masks).sigmoid())
        scores = class_scores(classes, masks, frame)
        torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(semantic_map(classes, masks, frame), scores.argmax(0))


def test_without_queries_all_scores_are_zero():
    assert semantic_map(torch.zeros(0, 4), torch.zeros(0, 2, 3), FRAME).unique().tolist() == [0]
