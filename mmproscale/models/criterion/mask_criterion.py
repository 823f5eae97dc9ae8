"""Losses of classes and masks for matched queries (Mask2Former, section 3.3), of all layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import torch
from mmdet.utils import reduce_mean
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.models.criterion.matching import MatchCost, match
from mmproscale.models.criterion.points import sample, uncertain_points
from mmproscale.models.criterion.row_losses import row_losses
from mmproscale.models.criterion.targets import QueryPredictions, Targets
from mmproscale.utils.constants import constant
from mmproscale.utils.faults import is_int

Match = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class MaskCriterion:
    """Loss that matches queries to segments and compares their classes and masks.

    Args:
        loss_cls: mmdet's softmax cross entropy over classes and 'no object', without class weights.
        loss_mask: mmdet's binary cross entropy, at points.
        loss_dice: mmdet's Dice loss, at the same points.
        class_weight: Weight of each class and of 'no object'; None for 1 each.
        match_costs: mmdet's match costs, summed.
        num_points: Points at which masks are compared.
        oversample_ratio: Candidates drawn for each point.
        importance_ratio: Share of the points that lie where the mask is least certain.

    Raises:
        InputError: An invalid number of points, class weight or ratio.
    """

    loss_cls: nn.Module
    loss_mask: nn.Module
    loss_dice: nn.Module
    class_weight: Sequence[float] | None
    match_costs: Sequence[MatchCost]
    num_points: int = 12544
    oversample_ratio: float = 3.0
    importance_ratio: float = 0.75

    def __post_init__(self) -> None:
        if not is_int(self.num_points) or self.num_points < 1:
            raise InputError(f"train_cfg.num_points={self.num_points!r}: expected 1 or more")
        weights = self.class_weight or ()
        if not all(isinstance(weight, Real) for weight in weights):
            raise InputError(f"loss_cls.class_weight={weights!r}: expected a list of numbers")
        if self.oversample_ratio < 1 or not 0 <= self.importance_ratio <= 1:
            raise InputError(
                f"train_cfg has oversample_ratio={self.oversample_ratio} and "
                f"importance_sample_ratio={self.importance_ratio}: the first must be at least 1, "
                "the second 0 to 1"
            )

    def __call__(
        self, predictions: QueryPredictions, targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        """Return losses by mmdet's names: ``loss_cls`` of the last layer, ``d0.loss_cls`` before.

        Args:
            predictions: Predictions for B images; losses are computed in fp32, also under AMP.
            targets: Ground truth of each image.

        Raises:
            InputError: The number of targets is not the number of images.
            FloatingPointError: A matching cost is not finite.
        """
        images = predictions.class_logits.shape[1]
        if len(targets) != images:
            raise InputError(f"{images} images, but ground truth for {len(targets)}")
        with torch.autocast(predictions.class_logits.device.type, enabled=False):
            predictions = predictions.float()
            matches = match(predictions, targets, self.match_costs, self.num_points)
            losses = {"loss_cls": self._class_losses(predictions.class_logits, targets, matches)}
            losses |= self._mask_losses(predictions, targets, matches)
        return _by_layer(losses)

    def _class_losses(
        self, logits: Tensor, targets: Sequence[Targets], matches: Sequence[Match]
    ) -> Tensor:
        """Return the class loss of each layer, over all queries."""
        no_object = logits.shape[-1] - 1
        classes = logits.new_full(logits.shape[:3], no_object, dtype=torch.long)
        for image, (queries, segments) in enumerate(matches):
            classes[:, image].scatter_(1, queries, targets[image].labels[segments])
        class_weight = tuple(self.class_weight or [1.0] * (no_object + 1))
        weights = constant(class_weight, logits.dtype, logits)[classes]
        by_query = self.loss_cls(
            logits.flatten(0, 2), classes.flatten(), weights.flatten(), reduction_override="none"
        )
        # As in mmdet, eps makes the loss of classes with weight 0 zero instead of NaN.
        average = weights.flatten(1).sum(1) + torch.finfo(logits.dtype).eps
        return by_query.view(len(logits), -1).sum(1) / average

    def _mask_losses(
        self, predictions: QueryPredictions, targets: Sequence[Targets], matches: Sequence[Match]
    ) -> dict[str, Tensor]:
        """Return the mask and Dice losses of each layer, over the matched queries only."""
        # As in mmdet, an image without objects counts as one mask.
        masks = sum(max(queries.shape[1], 1) for queries, _ in matches)
        average = reduce_mean(predictions.class_logits.new_full((), masks))
        by_image = [
            self._image_losses(_matched_masks(predictions, image, queries), truth.masks, segments)
            for image, (truth, (queries, segments)) in enumerate(zip(targets, matches, strict=True))
        ]
        mask_losses, dice_losses = sum(by_image) / average
        return {"loss_mask": mask_losses / self.num_points, "loss_dice": dice_losses}

    def _image_losses(self, logits: Tensor, masks: Tensor, segments: Tensor) -> Tensor:
        """Return the sums of both losses over an image's N matched masks, (2, layers).

        Args:
            logits: (N, layers, H, W) of the matched queries.
            masks: (G, H, W), the ground truth.
            segments: (layers, N), index of the segment among the G that each query is matched to.
        """
        N, layers = logits.shape[:2]
        if N == 0:  # zero, but with a gradient for every parameter
            return logits.sum((0, 2, 3)).expand(2, -1)
        points = uncertain_points(
            logits, self.num_points, self.oversample_ratio, self.importance_ratio
        )
        truth = _sample_segments(masks, segments.T, points)
        predicted = sample(logits.flatten(0, 1)[:, None], points.flatten(0, 1))[:, 0]
        losses = row_losses(predicted, truth.flatten(0, 1), (self._mask_loss, self._dice_loss))
        return losses.view(2, N, layers).sum(1)

    def _mask_loss(self, predicted: Tensor, truth: Tensor) -> Tensor:
        by_point = self.loss_mask(predicted.flatten(), truth.flatten(), reduction_override="none")
        return by_point.view_as(predicted).sum(1)

    def _dice_loss(self, predicted: Tensor, truth: Tensor) -> Tensor:
        return self.loss_dice(predicted, truth, reduction_override="none")


def _matched_masks(predictions: QueryPredictions, image: int, queries: Tensor) -> Tensor:
    """Return the mask logits (N, layers, H, W) of an image's matched ``queries`` (layers, N)."""
    features = predictions.mask_features[image]
    embeddings = predictions.mask_embeddings[:, image].take_along_dim(queries[..., None], dim=1)
    masks = embeddings.transpose(0, 1) @ features.flatten(1)
    return masks.unflatten(2, features.shape[1:])


def _sample_segments(masks: Tensor, segments: Tensor, points: Tensor) -> Tensor:
    """Sample masks (G, H, W) of ``segments`` (N, layers) at their points (N, layers, P, 2).

    Each mask is read once, at the points of all layers. The result is (N, layers, P).
    """
    layers, P = points.shape[1:3]
    index = segments[..., None].expand(-1, -1, P)
    segment_points = points.new_zeros(len(masks), layers, P, 2)
    segment_points.scatter_(0, index[..., None].expand(-1, -1, -1, 2), points)
    at_points = sample(masks[:, None].float(), segment_points.flatten(1, 2))  # Gx1x(LP)
    return at_points.view(-1, layers, P).gather(0, index)


def _by_layer(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name each layer's losses as mmdet does: the last layer's have no number."""
    by_layer = {name: values[-1] for name, values in losses.items()}
    for layer in range(len(losses["loss_cls"]) - 1):
        by_layer |= {f"d{layer}.{name}": values[layer] for name, values in losses.items()}
    return by_layer
