"""The loss of a set of predicted masks (Mask2Former section 3.3), all decoder layers at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.utils import reduce_mean
from torch import Tensor, nn

from mmproscale.criterion.matching import MatchCost, match
from mmproscale.criterion.points import sample, uncertain_points
from mmproscale.criterion.targets import QueryPredictions, Targets

Match = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class MaskCriterion:
    """Matches queries to segments, and compares classes and masks.

    Args:
        loss_cls: mmdet's softmax cross entropy over classes and 'no object'.
        loss_mask: mmdet's binary cross entropy, at points.
        loss_dice: mmdet's Dice loss, at the same points.
        class_weight: Weight of each class and of 'no object', or None where all weigh the same.
        match_costs: mmdet's match costs, summed.
        num_points: Points at which masks are compared.
        oversample_ratio: Candidates drawn for each point of a loss.
        importance_ratio: Share of a loss's points that lie where the mask is least sure.
    """

    loss_cls: nn.Module
    loss_mask: nn.Module
    loss_dice: nn.Module
    class_weight: Sequence[float] | None
    match_costs: Sequence[MatchCost]
    num_points: int = 12544
    oversample_ratio: float = 3.0
    importance_ratio: float = 0.75

    def __call__(
        self, predictions: QueryPredictions, targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        """Losses by mmdet's names: ``loss_cls`` of the last layer, ``d0.loss_cls`` of the first...

        Args:
            predictions: Of B images; computed with in fp32 whatever they are, also under AMP.
            targets: Ground truth of each image.

        Raises:
            FloatingPointError: A matching cost that is not a number.
        """
        with torch.autocast(predictions.class_logits.device.type, enabled=False):
            predictions = predictions.float()
            matches = match(predictions, targets, self.match_costs, self.num_points)
            losses = {"loss_cls": self._class_losses(predictions.class_logits, targets, matches)}
            losses |= self._mask_losses(predictions, targets, matches)
        return _by_layer(losses)

    def _class_losses(
        self, logits: Tensor, targets: Sequence[Targets], matches: Sequence[Match]
    ) -> Tensor:
        """Class loss of each layer, over all queries."""
        no_object = logits.shape[-1] - 1
        classes = logits.new_full(logits.shape[:3], no_object, dtype=torch.long)
        for image, (queries, segments) in enumerate(matches):
            classes[:, image].scatter_(1, queries, targets[image].labels[segments])
        by_query = self.loss_cls(logits.flatten(0, 2), classes.flatten(), reduction_override="none")
        weights = logits.new_tensor(self.class_weight or [1.0] * (no_object + 1))
        return by_query.view(len(logits), -1).sum(1) / weights[classes].flatten(1).sum(1)

    def _mask_losses(
        self, predictions: QueryPredictions, targets: Sequence[Targets], matches: Sequence[Match]
    ) -> dict[str, Tensor]:
        """Mask and Dice loss of each layer, over the matched queries alone."""
        logits = _matched_masks(predictions, matches)  # LxTxHxW
        layers, total = logits.shape[:2]
        if total == 0:
            nothing = logits.sum((1, 2, 3))  # zero, and yet with a gradient for every parameter
            return {"loss_mask": nothing, "loss_dice": nothing}
        average = max(reduce_mean(logits.new_tensor([total])), 1)
        logits = logits.flatten(0, 1)
        points = uncertain_points(
            logits, self.num_points, self.oversample_ratio, self.importance_ratio
        )
        predicted = sample(logits[:, None], points)[:, 0]
        truth = _matched_targets(targets, matches, points.unflatten(0, (layers, total)))
        truth = truth.flatten(0, 1)
        by_point = self.loss_mask(predicted.flatten(), truth.flatten(), reduction_override="none")
        by_mask = self.loss_dice(predicted, truth, reduction_override="none")
        return {
            "loss_mask": by_point.view(layers, -1).sum(1) / (average * self.num_points),
            "loss_dice": by_mask.view(layers, -1).sum(1) / average,
        }


def _matched_masks(predictions: QueryPredictions, matches: Sequence[Match]) -> Tensor:
    """Mask logits of the matched queries of all T segments of the batch: (layers, T, H, W)."""
    features = predictions.mask_features
    masks = []
    for image, (queries, _) in enumerate(matches):
        embeddings = predictions.mask_embeddings[:, image]
        matched = embeddings.take_along_dim(queries[..., None], dim=1)
        masks.append(matched @ features[image].flatten(1))
    return torch.cat(masks, dim=1).unflatten(2, features.shape[2:])


def _matched_targets(
    targets: Sequence[Targets], matches: Sequence[Match], points: Tensor
) -> Tensor:
    """The matched segments at points (layers, T, P, 2): (layers, T, P).

    Each of an image's masks is read once, at the points of all layers.
    """
    layers, _, num_points, _ = points.shape
    parts = points.split([segments.shape[1] for _, segments in matches], dim=1)
    sampled = []
    for image, (_, segments), own in zip(targets, matches, parts, strict=True):
        if not segments.numel():
            continue
        index = segments[..., None]
        of_segments = own.new_zeros(layers, len(image.labels), num_points, 2)
        of_segments.scatter_(1, index[..., None].expand_as(own), own)
        masks = image.masks[:, None].float()
        at_points = sample(masks, of_segments.transpose(0, 1).flatten(1, 2))[:, 0]  # Gx(LP)
        sampled.append(
            at_points.unflatten(1, (layers, num_points)).transpose(0, 1).take_along_dim(index, 1)
        )
    return torch.cat(sampled, dim=1)


def _by_layer(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Losses of each layer under mmdet's names, those of the last layer without a number."""
    by_layer = {name: values[-1] for name, values in losses.items()}
    for layer in range(len(losses["loss_cls"]) - 1):
        by_layer |= {f"d{layer}.{name}": values[layer] for name, values in losses.items()}
    return by_layer
