"""Graphs from photos and to results: resizing and normalisation before a model, fusion after it.

The fusion is that of ``models/fusion``, written for tensors whose sizes do not depend on values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor, nn

from mmproscale.export.graph import mask_head
from mmproscale.models.fusion.image_frame import ImageFrame
from mmproscale.models.fusion.instance import mask_boxes


class Preprocessing(nn.Module):
    """Photos (B, H, W, 3) uint8 in RGB to normalised and padded images (B, 3, H', W').

    Resizing is bilinear, as the test pipeline's on integers: rounded to whole numbers.

    Args:
        preprocessor: The model's data preprocessor.
        frame: Sizes of the padded image, of the image in it and of the photo.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessor: Any, frame: ImageFrame) -> None:
        super().__init__()
        self.frame = frame
        self.keeps_rgb = preprocessor._channel_conversion  # the pipeline reads BGR
        self.pad_value = float(
            getattr(preprocessor, "pad_value", getattr(preprocessor, "pad_val", 0))
        )
        normalises = getattr(preprocessor, "_enable_normalize", True)
        zeros, ones = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
        self.register_buffer("mean", preprocessor.mean.float() if normalises else zeros)
        self.register_buffer("std", preprocessor.std.float() if normalises else ones)

    def forward(self, photos: Tensor) -> Tensor:
        """Return the images."""
        images = photos.permute(0, 3, 1, 2).float()
        if not self.keeps_rgb:
            images = images.flip(1)
        if self.frame.image != self.frame.output:
            images = F.interpolate(images, self.frame.image, mode="bilinear").round()
        images = (images - self.mean) / self.std
        bottom, right = (
            whole - part for whole, part in zip(self.frame.padded, self.frame.image, strict=True)
        )
        return F.pad(images, (0, right, 0, bottom), value=self.pad_value)


class Whole(nn.Module):
    """Graph between a preprocessing and a fusion, each of which may be missing."""

    def __init__(
        self, graph: nn.Module, before: Preprocessing | None, after: Fusion | None
    ) -> None:
        super().__init__()
        self.before, self.network, self.after = before, graph, after
        self.inputs = graph.inputs
        self.outputs = graph.outputs if after is None else after.outputs

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return logits or results."""
        size = (inputs[0].shape[-2], inputs[0].shape[-1])
        if self.before is not None:
            inputs = (self.before(*inputs),)
        outputs = self.network(*inputs)
        return outputs if self.after is None else self.after(*outputs, size=size)


class Fusion(nn.Module):
    """Last part of a graph, logits to results.

    Args:
        options: The model's ``test_cfg``.
        num_things: Number of thing classes, which come first.
        frame: Sizes of padded image, image and results; None for results of the input's size.
    """

    outputs: tuple[str, ...]

    def __init__(
        self, options: Mapping[str, Any], num_things: int, frame: ImageFrame | None
    ) -> None:
        super().__init__()
        self.options, self.num_things, self.frame = dict(options), num_things, frame

    def resize(self, masks: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize mask logits (B, N, h, w) to the results' size, in two steps as ``ImageFrame``."""
        if self.frame is None:
            return F.interpolate(masks, size, mode="bilinear")
        masks = F.interpolate(masks, self.frame.padded, mode="bilinear")
        height, width = self.frame.image
        masks = masks[..., :height, :width]
        if self.frame.image == self.frame.output:
            return masks
        return F.interpolate(masks, self.frame.output, mode="bilinear")


class PanopticFusion(Fusion):
    """Panoptic map as ``models/fusion/panoptic.py`` makes it.

    ``panoptic`` (B, H, W) int32 is label + 1000 * number of the thing, from 1 on; void is the
    number of classes. ``segment_values`` and ``segment_scores`` (B, Q) belong to the queries; the
    value of a query without a segment is void.
    """

    outputs = ("panoptic", "segment_values", "segment_scores")

    def forward(
        self, class_logits: Tensor, mask_logits: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, ...]:
        """Return the outputs."""
        get, void = self.options.get, class_logits.shape[-1] - 1
        scores, labels = class_logits.float().softmax(-1).max(-1)
        kept = (labels != void) & (scores > get("object_mask_thr", 0.8))
        shares = self.resize(mask_logits.float(), size).sigmoid()
        inside = shares >= 0.5
        weights = torch.where(kept, scores, -1.0)[..., None, None]
        # A share is not negative, so a query that was dropped never beats another.
        winners = (shares * weights).argmax(1)  # BxHxW
        queries = torch.arange(class_logits.shape[1], device=winners.device)
        areas = (winners[:, None] == queries[:, None, None]).sum((2, 3))
        mask_areas = inside.sum((2, 3))
        whole = areas >= get("iou_thr", 0.8) * mask_areas
        alive = kept & (areas > 0) & (mask_areas > 0) & whole
        things = labels < self.num_things
        number = (alive & things).int().cumsum(1)
        values = torch.where(things, labels + INSTANCE_OFFSET * number, labels)
        values = torch.where(alive, values, void).int()
        result = values.gather(1, winners.flatten(1)).unflatten(1, winners.shape[1:])
        if get("filter_low_score", False):
            won = inside.gather(1, winners[:, None]).squeeze(1)
            result = torch.where(won, result, void).int()
        return result, values, scores


class SemanticFusion(Fusion):
    """Class of each pixel, ``semantic`` (B, H, W) int32."""

    outputs = ("semantic",)

    def forward(
        self, class_logits: Tensor, mask_logits: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, ...]:
        """Return the output."""
        shares = class_logits.float().softmax(-1)[..., :-1]
        masks = self.resize(mask_logits.float(), size).sigmoid()
        scores = shares.transpose(1, 2) @ masks.flatten(2)
        return (scores.argmax(1).unflatten(1, masks.shape[2:]).int(),)


class InstanceFusion(Fusion):
    """Instances: ``boxes`` (B, N, 4), ``scores`` and ``labels`` (B, N), ``masks`` (B, N, H, W)."""

    outputs = ("boxes", "scores", "labels", "masks")

    def forward(
        self, class_logits: Tensor, mask_logits: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, ...]:
        """Return the outputs; pairs of a query and a stuff class have score 0."""
        shares = class_logits.float().softmax(-1)[..., :-1].flatten(1)
        classes = class_logits.shape[-1] - 1
        most = min(self.options.get("max_per_image", 100), shares.shape[1])
        best, pairs = shares.topk(most)
        labels, queries = pairs % classes, pairs // classes
        index = queries[..., None, None].expand(-1, -1, *mask_logits.shape[2:])
        masks = self.resize(mask_logits.float().gather(1, index), size)
        inside = masks > 0
        area = inside.float().sum((2, 3))
        quality = (masks.sigmoid() * inside).sum((2, 3)) / (area + 1e-6)
        boxes = mask_boxes(inside.flatten(0, 1)).unflatten(0, inside.shape[:2])
        scores = torch.where(labels < self.num_things, best * quality, 0.0)
        return boxes, scores, labels.int(), inside


class BoxFusion(Fusion):
    """Boxes: ``boxes`` (B, N, 4) as x1, y1, x2, y2 in pixels, ``scores`` and ``labels`` (B, N).

    Args:
        sigmoid: True if each class has its own probability, False for softmax with 'no object'.
    """

    outputs = ("boxes", "scores", "labels")

    def __init__(self, *args: Any, sigmoid: bool) -> None:
        super().__init__(*args)
        self.sigmoid = sigmoid

    def forward(
        self, class_logits: Tensor, boxes: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, ...]:
        """Return the outputs, highest score first, as mmdet's ``DETRHead`` chooses them."""
        classes, most = class_logits.shape[-1], self.options.get("max_per_img", boxes.shape[1])
        if self.sigmoid:
            scores, index = class_logits.float().sigmoid().flatten(1).topk(most)
            labels, queries = index % classes, index // classes
        else:
            scores, all_labels = class_logits.float().softmax(-1)[..., :-1].max(-1)
            scores, queries = scores.topk(most)
            labels = all_labels.gather(1, queries)
        height, width = size if self.frame is None else self.frame.output
        corners = bbox_cxcywh_to_xyxy(boxes.gather(1, queries[..., None].expand(-1, -1, 4)))
        x, y = (corners[..., side::2].clamp(0, 1) for side in (0, 1))
        pixels = torch.stack(
            [x[..., 0] * width, y[..., 0] * height, x[..., 1] * width, y[..., 1] * height], -1
        )
        return pixels, scores, labels.int()


def fusion_of(model: Any, kind: str, frame: ImageFrame | None) -> Fusion:
    """Return the fusion for a kind of result."""
    if kind == "boxes":
        sigmoid = model.bbox_head.loss_cls.use_sigmoid
        return BoxFusion(model.test_cfg or {}, 0, frame, sigmoid=sigmoid)
    fusions = {"panoptic": PanopticFusion, "semantic": SemanticFusion, "instance": InstanceFusion}
    head = getattr(model, "panoptic_fusion_head", None)
    options = head.test_cfg or {} if head else {}
    things = mask_head(model).num_things_classes
    return fusions[kind](options, things, frame)
