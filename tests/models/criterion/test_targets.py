"""Ground truth as masks with classes, against mmdet's own preparation."""

import numpy as np
import pytest
import torch
from mmdet.models.utils import preprocess_panoptic_gt
from mmdet.structures.mask import BitmapMasks

from mmproscale.errors import InputError
from mmproscale.models.criterion import QueryPredictions, panoptic_targets, semantic_targets

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


def semantic_maps(dtype=torch.long):
    return [
        torch.tensor([[2, 0, 255], [2, 2, 0]], dtype=dtype)[None],
        torch.full((1, 1, 4), 255, dtype=dtype),
        torch.tensor([[1, 1]], dtype=dtype)[None],
    ]


@pytest.mark.parametrize("dtype", [torch.long, torch.uint8], ids=str)
def test_semantic_targets_are_one_mask_for_each_class_of_an_image(dtype):
    maps = semantic_maps(dtype)
    targets = semantic_targets(maps, ("a", "b", "c"), num_classes=300)
    assert [t.labels.tolist() for t in targets] == [[0, 2], [], [1]]
    for truth, labels in zip(targets, maps, strict=True):
        assert truth.masks.dtype == torch.bool and truth.masks.shape[1:] == labels.shape[1:]
        for label, mask in zip(truth.labels, truth.masks, strict=True):
            assert torch.equal(mask, labels[0] == label)


def test_an_ignored_label_may_be_a_class():
    targets = semantic_targets(semantic_maps()[2:], ("c",), num_classes=2, ignore_index=1)
    assert targets[0].labels.tolist() == []


def test_an_unknown_label_is_an_error_with_the_name_of_its_map():
    with pytest.raises(InputError, match=r"^c: label 1 is neither one of the model's 1 classes"):
        semantic_targets(semantic_maps()[1:], ("b", "c"), num_classes=1)


def test_stuff_of_several_images_is_as_of_each():
    maps = [torch.tensor([[[4, 5, 255]]]), torch.tensor([[[6, 0, 4]]])]
    empty = BitmapMasks(np.zeros((0, 1, 3), np.uint8), 1, 3)
    labels = torch.zeros(0, dtype=torch.long)
    both = panoptic_targets([labels] * 2, [empty] * 2, maps, THINGS, STUFF)
    assert [t.labels.tolist() for t in both] == [[4, 5], [4, 6]]
    for semantic, truth in zip(maps, both, strict=True):
        (single,) = panoptic_targets([labels], [empty], [semantic], THINGS, STUFF)
        assert torch.equal(truth.labels, single.labels) and torch.equal(truth.masks, single.masks)
