"""Tiles of a large image, merged: the answer of a synthetic predictor is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from mmproscale.datasets.formats.rle import encode_mask, mask_fields
from mmproscale.inference.image_sources import InputImage
from mmproscale.inference.results import Instances, Result, Segment
from mmproscale.inference.tile_merging import merge_tiles
from mmproscale.inference.tiles import Tiling

CATEGORIES = [
    {"id": 1, "name": "disc", "isthing": 1},
    {"id": 2, "name": "sand", "isthing": 0},
    {"id": 3, "name": "sky", "isthing": 0},
]
SOURCE = InputImage("scene", None)


def scene(height: int = 300, width: int = 420, discs: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Return an id map (H, W), whose discs are apart, and the label of each id."""
    generator = np.random.default_rng(0)
    ids = np.where(np.arange(height)[:, None] + np.zeros(width, int) < height // 2, 1, 2)
    labels = [-1, 1, 2]
    rows, columns = np.mgrid[:height, :width]
    for _ in range(discs):
        radius, y, x = generator.integers(8, 30), *generator.integers(0, (height, width))
        disc = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
        near = (rows - y) ** 2 + (columns - x) ** 2 <= (radius + 3) ** 2
        if (ids[near] < 3).all():
            ids[disc] = len(labels)
            labels.append(0)
    return ids, np.array(labels)


def predicted(ids: np.ndarray, labels: np.ndarray, seed: int) -> Result:
    """Return the right result for a part of a scene, its segments in another order."""
    present = np.random.default_rng(seed).permutation(np.unique(ids))
    table = np.zeros(len(labels), np.int32)
    table[present] = np.arange(1, len(present) + 1)
    segments, masks = [], []
    for new, old in enumerate(present.tolist(), start=1):
        mask, label = ids == old, int(labels[old])
        x, y, width, height = (int(side) for side in mask_fields(encode_mask(mask))["bbox"])
        box = (x, y, x + width, y + height)
        name = CATEGORIES[label]["name"]
        segments.append(Segment(new, label, name, label == 0, 0.5, int(mask.sum()), box, label + 1))
        masks += [(mask, box)] if label == 0 else []
    instances = Instances(
        np.zeros(len(masks), np.int64),
        ["disc"] * len(masks),
        np.linspace(0.9, 0.5, len(masks)).astype(np.float32),
        np.array([box for _, box in masks], np.float32).reshape(-1, 4),
        [1] * len(masks),
        [encode_mask(mask) for mask, _ in masks],
    )
    image = np.zeros((*ids.shape, 3), np.uint8)
    return Result(
        image, "", None, CATEGORIES, table[ids], segments, instances, np.maximum(labels[ids], 0)
    )


def merged(ids: np.ndarray, labels: np.ndarray, tiling: Tiling, change=lambda result: result):
    tiles = tiling.tiles(ids.shape)
    results = (
        (tile, change(predicted(ids[tile.window.slices], labels, seed)))
        for seed, tile in enumerate(tiles)
    )
    return merge_tiles(np.zeros((*ids.shape, 3), np.uint8), SOURCE, CATEGORIES, results)


@pytest.mark.parametrize(("size", "overlap"), [(128, 64), (150, 70), (200, 60), (420, 60)])
def test_the_merged_result_is_that_of_the_whole(size, overlap):
    ids, labels = scene()
    result = merged(ids, labels, Tiling(size, overlap))
    pairs = np.unique(np.stack([ids.ravel(), result.panoptic.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(ids)) == len(result.segments), "one to one"
    for segment in result.segments:
        mask = result.panoptic == segment.id
        assert segment.area == mask.sum()
        assert labels[ids[mask]].min() == labels[ids[mask]].max() == segment.label
        x1, y1, x2, y2 = segment.box
        assert ndimage.find_objects(mask.astype(int)) == [(slice(y1, y2), slice(x1, x2))]
    assert (result.semantic == labels[ids]).all()
    assert len(result.instances) == (labels[np.unique(ids)] == 0).sum()
    for mask, box in zip(result.instances.masks, result.instances.boxes, strict=True):
        (found,) = np.unique(ids[mask])
        assert (mask == (ids == found)).all()
        assert mask_fields(encode_mask(mask))["bbox"] == [*box[:2], *(box[2:] - box[:2])]


def test_boxes_of_a_detector_are_joined():
    ids, labels = scene()
    whole = predicted(ids, labels, 0).instances
    expected = {tuple(box) for box in whole.boxes.tolist()}

    def only_boxes(result: Result) -> Result:
        boxes = replace(result.instances, rles=None)
        return Result(result.image, "", None, CATEGORIES, instances=boxes)

    found = merged(ids, labels, Tiling(150, 70), only_boxes).instances
    assert found.rles is None and {tuple(box) for box in found.boxes.tolist()} == expected


def test_errors_near_the_edge_of_a_tile_leave_no_seam():
    """A model sees least there: the neighbour's core covers it."""
    ids, labels = scene()

    def without_edge(result: Result) -> Result:
        inner = np.zeros_like(result.panoptic)
        inner[12:-12, 12:-12] = result.panoptic[12:-12, 12:-12]
        return replace(result, panoptic=inner, instances=None, semantic=None)

    result = merged(ids, labels, Tiling(150, 70), without_edge)
    seen = result.panoptic[12:-12, 12:-12]
    assert (seen > 0).all()
    stuff = [segment for segment in result.segments if not segment.is_thing]
    assert [segment.name for segment in stuff].count("sand") == 1
    things = [segment for segment in result.segments if segment.is_thing]
    assert len(things) == len(np.unique(ids[12:-12, 12:-12])) - 2


def test_void_of_a_tile_is_filled_by_its_neighbours():
    ids, labels = scene()
    tiling, results = Tiling(150, 30), []
    tiles = list(tiling.tiles(ids.shape))
    empty = tiles[0]
    seen_by_others = np.zeros(ids.shape, bool)
    for tile in tiles:
        result = predicted(ids[tile.window.slices], labels, 0)
        if tile is empty:
            result = replace(result, panoptic=np.zeros_like(result.panoptic), segments=[])
        else:
            seen_by_others[tile.window.slices] = True
        results.append((tile, replace(result, instances=None, semantic=None)))
    result = merge_tiles(np.zeros((*ids.shape, 3), np.uint8), SOURCE, CATEGORIES, results)
    assert not seen_by_others.all()
    assert ((result.panoptic > 0) == seen_by_others).all()
