"""Run-length masks against pycocotools, and the annotation fields of a mask."""

import json

import numpy as np
import pytest
from pycocotools import mask as pycocotools_mask

from mmproscale.datasets.formats.rle import (
    encode_mask,
    encode_masks,
    mask_fields,
    rle_of_runs,
    runs_of,
    with_text_counts,
)


@pytest.fixture
def masks() -> np.ndarray:
    """Random masks (3, 7, 5), of which the last is empty."""
    masks = np.random.default_rng(0).random((3, 7, 5)) < 0.5
    masks[2] = False
    return masks


def test_codes_equal_pycocotools(masks):
    expected = [pycocotools_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
    assert [encode_mask(mask) for mask in masks] == expected
    assert encode_masks(masks) == expected
    assert encode_masks(masks[:0]) == []


def test_fields_of_a_mask():
    mask = np.zeros((6, 9), bool)
    mask[1:4, 2:7] = True
    mask[1, 2] = False
    fields = mask_fields(encode_mask(mask))
    assert fields["area"] == 14 and fields["bbox"] == [2, 1, 5, 3]
    assert pycocotools_mask.decode(fields["segmentation"]).tolist() == mask.astype(int).tolist()


def test_text_counts_survive_json(masks):
    annotation = mask_fields(encode_mask(masks[0])) | {"id": 4}
    read = json.loads(json.dumps(with_text_counts(annotation)))
    assert pycocotools_mask.decode(read["segmentation"]).tolist() == masks[0].astype(int).tolist()
    assert {key: read[key] for key in ("id", "area")} == {"id": 4, "area": annotation["area"]}
    assert isinstance(annotation["segmentation"]["counts"], bytes), "the argument stays as it is"


@pytest.mark.parametrize("seed", range(5))
def test_runs_of_parts_give_the_mask_of_the_whole(seed):
    mask = np.random.default_rng(seed).random((13, 17)) < 0.1 + 0.2 * seed
    parts = [runs_of(mask[:9], (0, 0), 13), runs_of(mask[5:], (5, 0), 13)]  # they overlap
    assert rle_of_runs(np.concatenate(parts, axis=1), mask.shape) == encode_mask(mask)
