"""Panoptic fusion against a plain reference, and its limits."""

import pytest
import torch
from helpers.fusion import FRAME, random_case
from mmdet.evaluation.functional import INSTANCE_OFFSET

from mmproscale.models.fusion.image_frame import ImageFrame
from mmproscale.models.fusion.panoptic import panoptic_map


def plain_panoptic(classes, masks, frame, num_things, thr, iou_thr, filter_low_score):
    """Fuse pixel by pixel and query by query, as the definition says."""
    void = classes.shape[1] - 1
    probabilities = frame.resize(masks).sigmoid().tolist()
    scores, labels = (t.tolist() for t in classes.softmax(-1).max(-1))
    kept = [q for q in range(len(labels)) if labels[q] != void and scores[q] > thr]
    height, width = frame.output
    owner = {}
    for y in range(height):
        for x in range(width):
            values = [
                float(torch.tensor(scores[q]) * torch.tensor(probabilities[q][y][x])) for q in kept
            ]
            if values:
                owner[y, x] = kept[values.index(max(values))]
    result = torch.full(frame.output, void, dtype=torch.int32)
    number = 0
    for q in kept:
        pixels = [pixel for pixel, winner in owner.items() if winner == q]
        mask = sum(p >= 0.5 for row in probabilities[q] for p in row)
        if not pixels or not mask or len(pixels) / mask < iou_thr:
            continue
        value = labels[q]
        if labels[q] < num_things:
            number += 1
            value += INSTANCE_OFFSET * number
        for y, x in pixels:
            if not filter_low_score or probabilities[q][y][x] >= 0.5:
                result[y, x] = value
    return result


def check_segments(panoptic, void, num_things):
    """Check that stuff has no number, and things have numbers from 1 on, one label for each."""
    values = panoptic.unique()
    labels, numbers = values % INSTANCE_OFFSET, values // INSTANCE_OFFSET
    assert (labels <= void).all()
    is_thing = labels < num_things
    assert (numbers[~is_thing] == 0).all() and (numbers[is_thing] > 0).all()
    assert len(numbers[is_thing].unique()) == int(is_thing.sum())


@pytest.mark.parametrize("start", range(1000, 2000, 250))
def test_a_thousand_cases_equal_the_plain_definition(start):
    for seed in range(start, start + 250):
        classes, masks, frame, things, _ = random_case(seed)
        frame = ImageFrame(frame.padded, frame.image, tuple(min(n, 9) for n in frame.output))
        arguments = (things, 0.3, 0.4, seed % 2 == 0)
        found = panoptic_map(classes, masks, frame, *arguments).values
        assert torch.equal(found, plain_panoptic(classes, masks, frame, *arguments)), seed
        check_segments(found, classes.shape[1] - 1, things)


def test_without_a_sure_query_all_is_void():
    classes = torch.zeros(5, 4)
    panoptic = panoptic_map(classes, torch.randn(5, 2, 3), FRAME, num_things=2).values
    assert panoptic.dtype == torch.int32 and panoptic.unique().tolist() == [3]


def test_more_queries_than_sixteen_bits_count():
    """Use many queries at a small size, where all masks would fit in one piece."""
    queries = 40000
    classes = torch.tensor([[9.0, 0, 0]]).repeat(queries, 1)
    masks = torch.full((queries, 2, 2), -5.0)
    masks[-1] = 5.0
    frame = ImageFrame((8, 8), (8, 8), (8, 8))
    assert panoptic_map(classes, masks, frame, 1).values.unique().tolist() == [INSTANCE_OFFSET]
    masks[0] = 5.0
    found = panoptic_map(classes, masks, frame, 1, iou_thr=0.0, object_mask_thr=0.0).values
    assert found.unique().tolist() == [INSTANCE_OFFSET], "of equals the first wins"


def test_only_surviving_masks_are_resized(monkeypatch):
    seen = []
    resize = ImageFrame.resize
    monkeypatch.setattr(
        ImageFrame, "resize", lambda self, masks: seen.append(len(masks)) or resize(self, masks)
    )
    classes = torch.zeros(50, 4)
    classes[:, -1] = 9.0
    classes[7, 0] = classes[9, 1] = 30.0
    panoptic_map(classes, torch.randn(50, 2, 3), FRAME, 2)
    assert sum(seen) == 2


def test_without_queries_all_is_void():
    panoptic = panoptic_map(torch.zeros(0, 4), torch.zeros(0, 2, 3), FRAME, 2).values
    assert panoptic.unique().tolist() == [3]
