"""Ground truth as a set of masks with classes, and the predictions of the queries."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmdet.structures.mask import BaseInstanceMasks
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.models.layers.attention import mask_logits


@dataclass(frozen=True)
class Targets:
    """Ground truth of one image.

    Args:
        labels: (G,) class of each segment.
        masks: (G, H, W) bool.
    """

    labels: Tensor
    masks: Tensor


@dataclass(frozen=True)
class QueryPredictions:
    """Predictions of the queries before the first decoder layer and after each layer.

    Args:
        class_logits: (layers + 1, B, Q, classes + 1), the last class being 'no object'.
        mask_embeddings: (layers + 1, B, Q, C).
        mask_features: (B, C, H, W). A mask's logits are an embedding times these.
        mask_bias: (layers + 1, B, Q, 1), added to a mask's logits; None for no bias.
        exits: Number of encoder layers that each image took; None where it is unknown.
    """

    class_logits: Tensor
    mask_embeddings: Tensor
    mask_features: Tensor
    mask_bias: Tensor | None = None
    exits: tuple[int, ...] | None = None

    def float(self) -> QueryPredictions:
        """Return the same predictions in fp32."""
        parts = self.class_logits.float(), self.mask_embeddings.float(), self.mask_features.float()
        bias = None if self.mask_bias is None else self.mask_bias.float()
        return QueryPredictions(*parts, bias, self.exits)

    def masks(self, layer: int = -1) -> Tensor:
        """Return the mask logits after one layer, (B, Q, H, W)."""
        bias = None if self.mask_bias is None else self.mask_bias[layer]
        logits = mask_logits(self.mask_embeddings[layer], self.mask_features, bias)
        return logits.unflatten(2, self.mask_features.shape[2:])


def panoptic_targets(
    labels: Tensor,
    masks: BaseInstanceMasks,
    semantic_map: Tensor | None,
    num_things: int,
    num_stuff: int,
) -> Targets:
    """Return each thing's mask, then a mask for each stuff class of the semantic map.

    Args:
        labels: (G,) classes of the things.
        masks: Masks of the G things.
        semantic_map: (1, H, W) class of each pixel; pixels of other than stuff classes are ignored.
            None without stuff (instance segmentation).
        num_things: Number of thing classes, which are 0 to num_things - 1.
        num_stuff: Number of stuff classes, which follow the things.
    """
    things = masks.to_tensor(torch.bool, labels.device)
    if semantic_map is None:
        return Targets(labels, things)
    present = semantic_map.unique()
    stuff = present[(present >= num_things) & (present < num_things + num_stuff)]
    stuff_masks = semantic_map == stuff[:, None, None]  # 1xHxW, Sx1x1 -> SxHxW
    return Targets(torch.cat([labels, stuff.to(labels)]), torch.cat([things, stuff_masks]))


def semantic_targets(semantic_map: Tensor, num_classes: int, ignore_index: int = 255) -> Targets:
    """Return a mask for each class that a semantic map contains.

    Args:
        semantic_map: (1, H, W) class of each pixel.
        num_classes: Number of classes, which are 0 to num_classes - 1.
        ignore_index: Label of pixels without annotation.

    Raises:
        InputError: The map has a label that is neither a class nor ``ignore_index``.
    """
    present = semantic_map.unique()
    labels = present[present != ignore_index]
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if len(wrong):
        raise InputError(
            f"label {int(wrong[0])} is neither one of the model's {num_classes} classes (0 to "
            f"{num_classes - 1}) nor ignore_index ({ignore_index}): correct the map or num_classes"
        )
    return Targets(labels, semantic_map == labels[:, None, None])  # 1xHxW, Gx1x1 -> GxHxW
