"""Random ground truth: plausible, and the same from the same seed."""

import numpy as np
import pytest
import torch
from common.ground_truth import random_batch

THINGS, STUFF = 80, 53


@pytest.fixture
def batch():
    return random_batch(4, (64, 96), THINGS, STUFF)


def test_about_ten_masks_an_image_of_things_and_stuff(batch):
    assert [image.shape for image in batch["inputs"]] == [(3, 64, 96)] * 4
    counts = []
    for sample in batch["data_samples"]:
        masks, labels = sample.gt_instances.masks.masks, sample.gt_instances.labels
        semantic = sample.gt_sem_seg.sem_seg[0]
        assert masks.shape == (len(labels), 64, 96)
        assert masks.sum(0).max() == 1 and masks.any((1, 2)).all()
        assert labels.max() < THINGS
        stuff = semantic[semantic >= THINGS].unique()
        assert stuff.max() < THINGS + STUFF
        # Things are where the semantic map has their class, and nowhere else.
        for mask, label in zip(masks, labels, strict=True):
            assert (semantic[torch.tensor(mask).bool()] == label).all()
        assert np.array_equal(masks.any(0), (semantic < THINGS).numpy())
        counts.append(len(labels) + len(stuff))
    assert 7 <= np.mean(counts) <= 12


def test_same_seed_same_batch(batch):
    again, other = (random_batch(4, (64, 96), THINGS, STUFF, seed) for seed in (0, 1))
    maps = [[s.gt_sem_seg.sem_seg for s in b["data_samples"]] for b in (batch, again, other)]
    assert all(torch.equal(a, b) for a, b in zip(maps[0], maps[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(maps[0], maps[2], strict=True))
