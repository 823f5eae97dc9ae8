"""Merging of the queries of several views of one image (scales, mirror images) to one set."""

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
    """Place of an image in one of its views.

    Args:
        padded: (H, W) of the view.
        image: (H, W) of the image in it, from the top left.
        mirrored: Axes along which the image is mirrored: 0 upside down, 1 left to right.
    """

    padded: tuple[int, int]
    image: tuple[int, int]
    mirrored: tuple[int, ...] = ()

    @classmethod
    def from_metainfo(cls, metainfo: Mapping[str, Any]) -> ViewPlace:
        """Read a data sample's metainfo.

        Raises:
            InputError: The metainfo has no ``flip``.
        """
        if "flip" not in metainfo:
            raise InputError(
                "a view's metainfo has no 'flip': add 'flip' and 'flip_direction' to the meta_keys "
                "of tta_pipeline's PackDetInputs"
            )
        mirrored = _MIRRORED_AXES[metainfo["flip_direction"]] if metainfo["flip"] else ()
        image = tuple(metainfo["img_shape"][:2])
        return cls(tuple(metainfo["batch_input_shape"]), image, mirrored)

    def cells(self, masks: Tensor, axis: int) -> float:
        """Return the number of rows (axis 0) or columns (1) of masks (Q, h, w) in the image."""
        return masks.shape[1 + axis] * self.image[axis] / self.padded[axis]

    def without_padding(self, masks: Tensor) -> Tensor:
        """Return masks (Q, h, w) without the cells that lie only in the padding."""
        height, width = (math.ceil(self.cells(masks, axis)) for axis in (0, 1))
        return masks[:, :height, :width]


def merge_views(
    views: Sequence[tuple[Tensor, Tensor]], places: Sequence[ViewPlace]
) -> tuple[Tensor, Tensor]:
    """Merge the views of an image to one set of queries, from which fusion makes all results.

    An object can belong to another query in each view, so each view's queries are matched with the
    first view's (:func:`match_queries`). Probabilities of classes and of mask pixels are averaged
    over each match. In an average of logits a very confident view would count more than others.

    All results come from the same queries, so they agree with each other, and masks are aligned at
    the mask decoder's size. An average of semantic maps would need each view's masks at the image's
    size, and would give no segments or instances.

    Args:
        views: Class logits (Q, classes + 1), the last class being 'no object', and mask logits
            (Q, h, w) of each padded view.
        places: Place of the image in each view.

    Returns:
        Class logits (Q, classes + 1) and mask logits (Q, h, w) in the first view's frame, but not
        mirrored. A single view that is not mirrored is returned unchanged.
    """
    classes, masks = views[0]
    upright, size = ViewPlace(places[0].padded, places[0].image), masks.shape[1:]
    masks = align_masks(masks, places[0], upright, size)
    if len(views) == 1:
        return classes, masks
    classes, masks = classes.float(), masks.float()
    # Sums of probabilities as logarithms, which are exact where a sigmoid would round to 1.
    shares, inside, outside = classes.log_softmax(-1), F.logsigmoid(masks), F.logsigmoid(-masks)
    for (others, other_masks), place in zip(views[1:], places[1:], strict=True):
        others = others.float()
        aligned = align_masks(other_masks.float(), place, upright, size)
        order = match_queries(
            classes, upright.without_padding(masks), others, upright.without_padding(aligned)
        )
        aligned = aligned[order]
        shares = shares.logaddexp(others[order].log_softmax(-1))
        inside = inside.logaddexp(F.logsigmoid(aligned))
        outside = outside.logaddexp(F.logsigmoid(-aligned))
    return shares, inside - outside


def align_masks(masks: Tensor, place: ViewPlace, target: ViewPlace, size: Sequence[int]) -> Tensor:
    """Resample a view's mask logits bilinearly to the frame of another view.

    Args:
        masks: (Q, h, w) of the padded view. Padding is not read: the image's edge is repeated.
        place: Place of the image in the view.
        target: Place of the image in the other view.
        size: (h, w) of the other view's masks.
    """
    if place == target and masks.shape[1:] == size:
        return masks
    inside = place.without_padding(masks)
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
    """Return for each query the query of another view for the same object, (Q,) int64.

    The Hungarian algorithm finds the one-to-one matching with the largest sum of this product: the
    probability that both have the same class, without 'no object', times the dice of their masks.
    So queries without an object have no influence, and a view matches itself query by query.

    Args:
        classes: (Q, classes + 1) logits.
        masks: (Q, h, w) mask logits of the image without padding.
        other_classes: Class logits of the other view.
        other_masks: Mask logits of the other view, aligned.
    """
    same_class = classes.softmax(-1)[:, :-1] @ other_classes.softmax(-1)[:, :-1].T
    inside, other_inside = masks.sigmoid().flatten(1), other_masks.sigmoid().flatten(1)
    # With squares (V-Net's dice) each mask is closest to itself.
    squares = inside.square().sum(1)[:, None] + other_inside.square().sum(1)
    dice = 2 * inside @ other_inside.T / squares.clamp(min=torch.finfo(squares.dtype).tiny)
    _, order = linear_sum_assignment((same_class * dice).cpu().numpy(), maximize=True)
    return torch.from_numpy(order).to(masks.device)
