"""Ground truth as masks with classes, against mmdet's own preparation."""

import numpy as np
import pytest
import torch
from mmdet.models.utils import preprocess_panoptic_gt
from mmdet.structures.mask import BitmapMasks

from mmproscale.models.criterion import QueryPredictions, panoptic_targets

THINGS, STUFF = 4, 3


def as_set(labels, masks):
    return {
        (int(label), mask.bool().numpy().tobytes())
        for label, mask in zip(labels, masks, strict=True)
    }


@pytest.mark.parametrize("things", [0, 3])
@pytest.mark.parametrize("semantic", ["none", "things and void", "stuff"])
def test_is_mmdets(things, semantic):
    labels = torch.randint(0, THINGS, (things,))
    masks = BitmapMasks(np.random.RandomState(0).rand(things, 6, 5) > 0.5, 6, 5)
    seg = {
        "none": None,
        "things and void": torch.tensor([0, 1, 255]).repeat(10).view(1, 6, 5),
        "stuff": torch.arange(30).view(1, 6, 5) % 9,
    }[semantic]
    (ours,) = panoptic_targets([labels], [masks], None if seg is None else [seg], THINGS, STUFF)
    expected = preprocess_panoptic_gt(labels, masks, seg, THINGS, STUFF)
    assert ours.masks.dtype == torch.bool and ours.labels.dtype == torch.long
    assert len(ours.labels) == len(ours.masks) == len(expected[0])
    assert as_set(ours.labels, ours.masks) == as_set(*expected)


def test_masks_are_embeddings_times_features():
    predictions = QueryPredictions(
        torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 6), torch.randn(3, 6, 7, 8)
    )
    for layer in (0, 1, -1):
        expected = torch.einsum(
            "bqc,bchw->bqhw", predictions.mask_embeddings[layer], predictions.mask_features
        )
        torch.testing.assert_close(predictions.masks(layer), expected)
