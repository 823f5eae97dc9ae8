"""Merging of the results of an image's tiles: panoptic, semantic, instances and boxes.

Each pixel takes the result of the tile in whose core it lies, or, where that is void, of another
tile that sees it. Objects of two tiles are one where they agree in the overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from mmproscale.datasets.formats.panoptic_png import tight_box
from mmproscale.datasets.formats.rle import decode_mask, mask_fields, rle_of_runs, runs_of
from mmproscale.inference.image_sources import InputImage
from mmproscale.inference.results import Instances, Result, Segment
from mmproscale.inference.tiles import Tile, Window

LEAST_IOU = 0.5
"""Least intersection over union, in the overlap of two tiles, of parts of one object."""


def merge_tiles(
    image: np.ndarray,
    source: InputImage,
    categories: Sequence[dict[str, Any]],
    results: Iterable[tuple[Tile, Result]],
) -> Result:
    """Merge the results of an image's tiles, given row by row, into the result of the image.

    Args:
        image: (H, W, 3) RGB uint8, the whole image.
        source: Its name and path.
        categories: The model's classes.
        results: The result of each tile; one row of tiles is kept in memory.
    """
    panoptic, instances, semantic = MergedPanoptic(image.shape), MergedInstances(image.shape), None
    for tile, result in results:
        if result.panoptic is not None:
            panoptic.add(tile, result.panoptic, result.segments or ())
        if result.instances is not None:
            instances.add(tile, result.instances)
        if result.semantic is not None:
            if semantic is None:
                semantic = np.zeros(image.shape[:2], result.semantic.dtype)
            semantic[tile.core.slices] = result.semantic[tile.core.within(tile.window).slices]
        kinds = result.kinds
    found: dict[str, Any] = dict(semantic=semantic)
    if "panoptic" in kinds:
        found["panoptic"], found["segments"] = panoptic.finish()
    if {"instance", "boxes"} & {*kinds}:
        found["instances"] = instances.finish()
    return Result(image, source.name, source.path, categories, **found)


@dataclass
class Groups:
    """Numbers from 0 on, joined to groups (union-find)."""

    parents: list[int] = field(default_factory=list)

    def new(self) -> int:
        """Return a new number, in a group of its own."""
        self.parents.append(len(self.parents))
        return self.parents[-1]

    def group(self, number: int) -> int:
        """Return the smallest number of the group of ``number``."""
        while self.parents[number] != number:
            number = self.parents[number]
        return number

    def join(self, one: int, other: int) -> None:
        """Make one group of two."""
        first, last = sorted((self.group(one), self.group(other)))
        self.parents[last] = first


class MergedPanoptic:
    """Panoptic result of an image, made from the results of its tiles, row by row.

    Stuff of one class is one segment. Things of neighbouring tiles are one where class and mask
    agree in the overlap.

    Args:
        shape: (H, W, ...) of the image.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.ids = np.zeros(shape[:2], np.int32)
        self._groups = Groups()
        self._segments: list[Segment] = []
        self._stuff: dict[int, int] = {}
        self._recent: dict[tuple[int, int], tuple[Tile, np.ndarray]] = {}

    def add(self, tile: Tile, id_map: np.ndarray, segments: Sequence[Segment]) -> None:
        """Add a tile's id map (H, W) with 0 for void, and its segments."""
        table = np.zeros(1 + max((segment.id for segment in segments), default=0), np.int32)
        for segment in segments:
            table[segment.id] = self._number(segment) + 1
        numbers = table[id_map]
        for place in ((tile.row, tile.column - 1), (tile.row - 1, tile.column)):
            if place in self._recent:
                self._join(tile, numbers, *self._recent[place])
        seen = self.ids[tile.window.slices]
        in_core = np.zeros(seen.shape, bool)
        in_core[tile.core.within(tile.window).slices] = True
        np.copyto(seen, numbers, where=(numbers > 0) & (in_core | (seen == 0)))
        self._recent[tile.row, tile.column] = tile, numbers
        self._recent.pop((tile.row - 1, tile.column - 1), None)

    def _number(self, segment: Segment) -> int:
        if not segment.is_thing and segment.label in self._stuff:
            number = self._stuff[segment.label]
            self._segments[number] = _better(self._segments[number], segment)
            return number
        self._segments.append(segment)
        number = self._groups.new()
        if not segment.is_thing:
            self._stuff[segment.label] = number
        return number

    def _join(self, tile: Tile, numbers: np.ndarray, other: Tile, others: np.ndarray) -> None:
        """Join the things of two tiles that agree in the part that both see."""
        strip = tile.window.meet(other.window)
        here = numbers[strip.within(tile.window).slices].ravel()
        there = others[strip.within(other.window).slices].ravel()
        areas, other_areas = np.bincount(here), np.bincount(there)
        pairs, shared = np.unique(np.stack([here, there]), axis=1, return_counts=True)
        for (one, two), pixels in zip(pairs.T.tolist(), shared.tolist(), strict=True):
            union = areas[one] + other_areas[two] - pixels
            if one and two and pixels >= LEAST_IOU * union and self._same_class(one - 1, two - 1):
                self._groups.join(one - 1, two - 1)

    def _same_class(self, one: int, other: int) -> bool:
        first, second = self._segments[one], self._segments[other]
        return first.is_thing and first.label == second.label

    def finish(self) -> tuple[np.ndarray, list[Segment]]:
        """Return the id map (H, W) int32 and its segments, numbered from 1."""
        groups = np.array([0, *(1 + self._groups.group(n) for n in range(len(self._segments)))])
        present = np.zeros(len(groups), bool)
        for row in self.ids:  # row by row: a copy of the map would need as much memory again
            row[:] = groups[row]
            present[row] = True
        present[0] = False
        final = np.where(present, present.cumsum(), 0)
        areas = np.zeros(int(final.max(initial=0)) + 1, np.int64)
        for row in self.ids:
            row[:] = final[row]
            areas += np.bincount(row, minlength=len(areas))
        boxes = ndimage.find_objects(self.ids, max_label=len(areas) - 1)
        return self.ids, [
            self._finished(first - 1, groups, final[first], areas, boxes)
            for first in np.flatnonzero(present).tolist()
        ]

    def _finished(
        self, first: int, groups: np.ndarray, new_id: int, areas: np.ndarray, boxes: list
    ) -> Segment:
        members = np.flatnonzero(groups[1:] == first + 1)
        best = self._segments[first]
        for member in members.tolist():
            best = _better(best, self._segments[member])
        x, y, width, height = tight_box(boxes[new_id - 1])
        box = (x, y, x + width, y + height)
        return replace(best, id=int(new_id), area=int(areas[new_id]), box=box)


class MergedInstances:
    """Instances or boxes of an image, made from those of its tiles, row by row.

    Objects of neighbouring tiles are one where class and mask, or box, agree in the overlap. A mask
    is made of the parts in the tiles' cores. Objects outside the cores of their tiles are dropped.

    Args:
        shape: (H, W, ...) of the image.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape[:2])
        self._groups = Groups()
        self._parts: list[Part] = []
        self._recent: dict[tuple[int, int], tuple[Tile, Instances, int]] = {}
        self._have_masks = False

    def add(self, tile: Tile, found: Instances) -> None:
        """Add the instances of a tile, in its own coordinates."""
        first = len(self._parts)
        self._have_masks = found.rles is not None
        for index in range(len(found)):
            self._parts.append(self._part(tile, found, index))
            self._groups.new()
        for place in ((tile.row, tile.column - 1), (tile.row - 1, tile.column)):
            if place in self._recent:
                self._join(tile, found, first, *self._recent[place])
        self._recent[tile.row, tile.column] = tile, found, first
        self._recent.pop((tile.row - 1, tile.column - 1), None)

    def _part(self, tile: Tile, found: Instances, index: int) -> Part:
        left, top = tile.window.left, tile.window.top
        box = found.boxes[index] + np.array([left, top, left, top], np.float32)
        x1, y1, x2, y2 = box
        core = tile.core
        runs = None
        in_core = x1 < core.right and x2 > core.left and y1 < core.bottom and y2 > core.top
        if found.rles is not None:
            mask = decode_mask(found.rles[index])[core.within(tile.window).slices]
            runs = runs_of(mask, core[:2], self.shape[0])
            in_core = runs.size > 0
        return Part(found.keep(np.array([index])), box, in_core, runs)

    def _join(
        self, tile: Tile, found: Instances, first: int, other: Tile, others: Instances, start: int
    ) -> None:
        strip = tile.window.meet(other.window)
        agreement = _agreement(strip, (tile, found), (other, others))
        same = found.labels[:, None] == others.labels[None]
        for one, two in np.argwhere((agreement >= LEAST_IOU) & same).tolist():
            self._groups.join(first + one, start + two)

    def finish(self) -> Instances:
        """Return the instances of the image, the highest score first."""
        members: dict[int, list[Part]] = {}
        for number, part in enumerate(self._parts):
            members.setdefault(self._groups.group(number), []).append(part)
        in_cores = [parts for parts in members.values() if any(part.in_core for part in parts)]
        kept = [self._merged(parts) for parts in in_cores]
        kept.sort(key=lambda one: -one.scores[0])
        return Instances(
            np.array([one.labels[0] for one in kept], np.int64),
            [one.names[0] for one in kept],
            np.array([one.scores[0] for one in kept], np.float32),
            np.array([one.boxes[0] for one in kept], np.float32).reshape(-1, 4),
            [one.category_ids[0] for one in kept],
            [one.rles[0] for one in kept if one.rles is not None] if self._have_masks else None,
        )

    def _merged(self, parts: Sequence[Part]) -> Instances:
        best = max(parts, key=lambda part: part.instance.scores[0]).instance
        boxes = np.stack([part.box for part in parts])
        box = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
        if not self._have_masks:
            return replace(best, boxes=box[None])
        runs = np.concatenate([part.runs for part in parts if part.runs is not None], axis=1)
        rle = rle_of_runs(runs, self.shape)
        x, y, width, height = mask_fields(rle)["bbox"]
        return replace(best, boxes=np.array([[x, y, x + width, y + height]]), rles=[rle])


class Part(NamedTuple):
    """Instance that one tile shows.

    Attributes:
        instance: The instance in the tile's coordinates; one row.
        box: (4,) in the image's coordinates.
        in_core: True if its mask, or box, has a pixel in the tile's core.
        runs: (2, N) first and end pixel of the core's part of the mask; None without masks.
    """

    instance: Instances
    box: np.ndarray
    in_core: bool
    runs: np.ndarray | None


def _agreement(
    strip: Window, one: tuple[Tile, Instances], other: tuple[Tile, Instances]
) -> np.ndarray:
    """Return IoU (N, M) of two tiles' instances in the part of the image that both see."""
    if one[1].rles is None:
        first, second = (_boxes_in(strip, *side) for side in (one, other))
        low = np.maximum(first[:, None, :2], second[None, :, :2])
        high = np.minimum(first[:, None, 2:], second[None, :, 2:])
        shared = (high - low).clip(0).prod(-1)
        sizes = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(-1) for boxes in (first, second)]
    else:
        first, second = (_masks_in(strip, *side) for side in (one, other))
        shared = first @ second.T
        sizes = [masks.sum(1) for masks in (first, second)]
    union = sizes[0][:, None] + sizes[1][None] - shared
    return shared / np.maximum(union, 1e-6)


def _masks_in(strip: Window, tile: Tile, found: Instances) -> np.ndarray:
    part = strip.within(tile.window).slices
    masks = [decode_mask(rle)[part].ravel() for rle in found.rles or ()]
    size = (strip.bottom - strip.top) * (strip.right - strip.left)
    return np.array(masks, np.float32).reshape(-1, size)


def _boxes_in(strip: Window, tile: Tile, found: Instances) -> np.ndarray:
    top, left, bottom, right = strip.within(tile.window)
    return found.boxes.clip([left, top, left, top], [right, bottom, right, bottom]) + np.array(
        [tile.window.left, tile.window.top] * 2, np.float32
    )


def _better(one: Segment, other: Segment) -> Segment:
    return other if (other.score or 0) > (one.score or 0) else one
