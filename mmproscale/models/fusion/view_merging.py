"""Queries of several views of one image (scales, mirror images) to one set of queries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mmproscale.errors import InputError

_MIRRORED_AXES = {"horizontal": (1,), "vertical": (0,), "diagonal": (0, 1)}


@dataclass(frozen=True)
class ViewPlace:
    """Where an image lies in a view of it.

    Args:
        padded: (H, W) of the view.
        image: (H, W) of the image in it, from the top left.
        mirrored: Axes along which the image is mirrored: 0 upside down, 1 left to right.
    """

    padded: tuple[int, int]
    image: tuple[int, int]
    mirrored: tuple[int, ...] = ()

    @classmethod
    def of(cls, metainfo: Mapping[str, Any]) -> ViewPlace:
        """From a data sample's metainfo.

        Raises:
            InputError: It does not say whether the view is mirrored.
        """
        if "flip" not in metainfo:
            raise InputError(
                "a view does not say whether it is mirrored: add 'flip' and 'flip_direction' to "
                "the meta_keys of tta_pipeline's PackDetInputs"
            )
        mirrored = _MIRRORED_AXES[metainfo["flip_direction"]] if metainfo["flip"] else ()
        image = tuple(metainfo["img_shape"][:2])
        return cls(tuple(metainfo["batch_input_shape"]), image, mirrored)

    def cells(self, masks: Tensor, axis: int) -> float:
        """How many rows (axis 0) or columns (1) of masks (Q, h, w) the image takes up."""
        return masks.shape[1 + axis] * self.image[axis] / self.padded[axis]

    def of_image(self, masks: Tensor) -> Tensor:
        """Masks (Q, h, w) without the cells that lie in the padding alone."""
        height, width = (math.ceil(self.cells(masks, axis)) for axis in (0, 1))
        return masks[:, :height, :width]


def merge_views(
    views: Sequence[tuple[Tensor, Tensor]], places: Sequence[ViewPlace]
) -> tuple[Tensor, Tensor]:
    """One set of queries for an image, from which fusion makes all kinds of results.

    An object is not the same query's in every view, so each view's queries are matched with the
    first's (:func:`match_queries`). Over each match probabilities are averaged, of classes and of
    mask pixels: a view that is very sure counts no more than another, as it would in an average of
    logits.

    All results come from the one set, so they agree as those of a single view do, and masks need
    be aligned only at the mask decoder's size. An average of semantic maps would say nothing about
    segments and instances, and needs each view's masks at the image's size.

    Args:
        views: Of each view class logits (Q, classes + 1), the last class being 'no object', and
            mask logits (Q, h, w) of the padded view.
        places: Where the image lies in each.

    Returns:
        Class logits (Q, classes + 1) and mask logits (Q, h, w) that lie as the first view's, but
        not mirrored. A single view that is not mirrored is returned as it is.
    """
    classes, masks = views[0]
    upright, size = ViewPlace(places[0].padded, places[0].image), masks.shape[1:]
    masks = align_masks(masks, places[0], upright, size)
    if len(views) == 1:
        return classes, masks
    classes, masks = classes.float(), masks.float()
    # Logarithms of sums of probabilities: exact where a sigmoid would round to 1.
    shares, inside, outside = classes.log_softmax(-1), F.logsigmoid(masks), F.logsigmoid(-masks)
    for (others, other_masks), place in zip(views[1:], places[1:], strict=True):
        others = others.float()
        aligned = align_masks(other_masks.float(), place, upright, size)
        order = match_queries(classes, upright.of_image(masks), others, upright.of_image(aligned))
        aligned = aligned[order]
        shares = shares.logaddexp(others[order].log_softmax(-1))
        inside = inside.logaddexp(F.logsigmoid(aligned))
        outside = outside.logaddexp(F.logsigmoid(-aligned))
    return shares, inside - outside


def align_masks(masks: Tensor, place: ViewPlace, target: ViewPlace, size: Sequence[int]) -> Tensor:
    """Mask logits of a view where those of another view are, bilinearly resampled.

    Args:
        masks: (Q, h, w) of the padded view. Its padding is never read: beyond the image its edge is
            repeated.
        place: Where the image lies in the view.
        target: Where it lies in the other.
        size: (h, w) of the other view's masks.
    """
    if place == target and masks.shape[1:] == size:
        return masks
    inside = place.of_image(masks)
    grid = []
    for axis in (0, 1):
        centers = torch.arange(size[axis], dtype=torch.float64) + 0.5
        share = centers / size[axis] * target.padded[axis] / target.image[axis]  # of the image
        share = 1 - share if axis in place.mirrored else share
        grid.append(2 * share * place.cells(masks, axis) / inside.shape[1 + axis] - 1)
    rows, columns = torch.meshgrid(*grid, indexing="ij")
    points = torch.stack([columns, rows], dim=-1).to(inside)  # grid_sample's order is x, y
    resampled = F.grid_sample(
        inside[None], points[None], padding_mode="border", align_corners=False
    )
    return resampled[0]


def match_queries(
    classes: Tensor, masks: Tensor, other_classes: Tensor, other_masks: Tensor
) -> Tensor:
    """For each query the one of another view that sees the same object, (Q,) int64.

    One to one and best in sum (Hungarian): the probability that both see the same class, 'no
    object' left out, times the dice of their masks. So queries that see nothing have no say, and
    against itself a view is matched query by query.

    Args:
        classes: (Q, classes + 1) logits.
        masks: (Q, h, w) mask logits of the image without padding.
        other_classes: The other view's.
        other_masks: The other view's, aligned.
    """
    same_class = classes.softmax(-1)[:, :-1] @ other_classes.softmax(-1)[:, :-1].T
    mine, theirs = masks.sigmoid().flatten(1), other_masks.sigmoid().flatten(1)
    # With squares (V-Net's dice) no mask is closer to a mask than itself.
    squares = mine.square().sum(1)[:, None] + theirs.square().sum(1)
    dice = 2 * mine @ theirs.T / squares.clamp(min=torch.finfo(squares.dtype).tiny)
    _, order = linear_sum_assignment((same_class * dice).cpu().numpy(), maximize=True)
    return torch.from_numpy(order).to(masks.device)
