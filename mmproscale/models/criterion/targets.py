"""Ground truth as a set of masks with classes, and the predictions of the queries."""

from __future__ import annotations

from collections.abc import Sequence
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
    labels: Sequence[Tensor],
    masks: Sequence[BaseInstanceMasks],
    semantic_maps: Sequence[Tensor] | None,
    num_things: int,
    num_stuff: int,
) -> list[Targets]:
    """Return each thing's mask, then a mask for each stuff class of the semantic map, by image.

    Args:
        labels: (G,) classes of each image's things.
        masks: Masks of each image's G things.
        semantic_maps: (1, H, W) class of each pixel; pixels of other than stuff classes are
            ignored. None without stuff (instance segmentation).
        num_things: Number of thing classes, which are 0 to num_things - 1.
        num_stuff: Number of stuff classes, which follow the things.
    """
    images = zip(labels, masks, strict=True)
    things = [Targets(own, m.to_tensor(torch.bool, own.device)) for own, m in images]
    if semantic_maps is None:
        return things
    stuff, _ = _class_masks(semantic_maps, range(num_things, num_things + num_stuff))
    return [
        Targets(torch.cat([a.labels, b.labels.to(a.labels)]), torch.cat([a.masks, b.masks]))
        for a, b in zip(things, stuff, strict=True)
    ]


def semantic_targets(
    semantic_maps: Sequence[Tensor], names: Sequence[str], num_classes: int, ignore_index: int = 255
) -> list[Targets]:
    """Return a mask for each class that a semantic map contains, by image.

    Args:
        semantic_maps: (1, H, W) class of each pixel.
        names: Name of each map, for errors.
        num_classes: Number of classes, which are 0 to num_classes - 1.
        ignore_index: Label of pixels without annotation.

    Raises:
        InputError: A map has a label that is neither a class nor ``ignore_index``.
    """
    targets, has_others = _class_masks(semantic_maps, range(num_classes), ignore_index)
    if any(has_others):
        index = has_others.index(True)
        labels = semantic_maps[index].unique()
        wrong = labels[((labels < 0) | (labels >= num_classes)) & (labels != ignore_index)]
        raise InputError(
            f"{names[index]}: label {int(wrong[0])} is neither one of the model's {num_classes} "
            f"classes (0 to {num_classes - 1}) nor ignore_index ({ignore_index}): correct the map "
            "or num_classes"
        )
    return targets


def _class_masks(
    maps: Sequence[Tensor], classes: range, ignored: int | None = None
) -> tuple[list[Targets], list[bool]]:
    """Return the masks of the classes in each map (1, H, W), and which maps have other labels.

    The GPU is waited for once, not for each map.
    """
    found = []
    for labels in maps:
        labels = labels.flatten().long()
        # Two more entries: other labels, then ignored ones.
        index = torch.where(
            (labels >= classes.start) & (labels < classes.stop), labels, classes.stop
        )
        if ignored is not None:
            index = torch.where(labels == ignored, classes.stop + 1, index)
        row = torch.zeros(len(classes) + 2, dtype=torch.bool, device=labels.device)
        found.append(row.index_fill_(0, index - classes.start, True))
    rows = torch.stack(found).cpu()
    present = [row.nonzero()[:, 0] + classes.start for row in rows[:, :-2]]
    on_device = torch.cat(present).to(maps[0].device).split([len(labels) for labels in present])
    # 1xHxW, Gx1x1 -> GxHxW
    targets = [
        Targets(own, labels == own[:, None, None])
        for labels, own in zip(maps, on_device, strict=True)
    ]
    return targets, rows[:, -2].tolist()
