"""Fusion head: class and mask logits of a batch to panoptic, instance and semantic results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any

import torch
from mmdet.models.seg_heads.panoptic_fusion_heads import MaskFormerFusionHead
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.models.fusion.image_frame import ImageFrame
from mmproscale.models.fusion.instance import instances
from mmproscale.models.fusion.panoptic import panoptic_map
from mmproscale.models.fusion.semantic import semantic_map
from mmproscale.registry import MODELS
from mmproscale.utils.faults import is_number


@MODELS.register_module()
class UniversalFusionHead(MaskFormerFusionHead):
    """Fusion head to use instead of mmdet's ``MaskFormerFusionHead``, with semantic results too.

    Arguments and other results are the same. ``test_cfg`` switches results on (``panoptic_on``, by
    default True, ``instance_on``, ``semantic_on``) and has the thresholds: ``object_mask_thr``
    (0.8), ``iou_thr`` (0.8), ``filter_low_score`` (False), ``max_per_image`` (100).

    Raises:
        InputError: ``test_cfg`` is not a dict, or a threshold in it is not a number.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.test_cfg, (Mapping, NoneType)):
            raise InputError(f"model.test_cfg={self.test_cfg!r}: expected a dict")
        for key in ("object_mask_thr", "iou_thr", "max_per_image"):
            value = (self.test_cfg or {}).get(key, 0)
            if not is_number(value):
                raise InputError(f"model.test_cfg.{key}={value!r}: expected a number")

    def predict(
        self,
        mask_cls_results: Tensor,
        mask_pred_results: Tensor,
        batch_data_samples: Sequence[DetDataSample],
        rescale: bool = False,
        **kwargs,
    ) -> list[dict]:
        """Return each image's results, as mmdet: ``pan_results``, ``ins_results``, ``sem_results``.

        The metainfo of ``pan_results`` has the segments' scores, as
        :class:`~mmproscale.models.fusion.panoptic.PanopticMap`.

        Args:
            mask_cls_results: (B, Q, classes + 1) logits of any precision; fusion is in fp32.
            mask_pred_results: (B, Q, h, w) logits of the padded images, of any size and precision.
            batch_data_samples: One for each image.
            rescale: Give results the original images' size.

        Raises:
            FloatingPointError: Mask or class logits are not finite.
        """
        return [
            self._fuse(classes, masks, sample.metainfo, rescale)
            for classes, masks, sample in zip(
                mask_cls_results, mask_pred_results, batch_data_samples, strict=True
            )
        ]

    def _fuse(self, classes: Tensor, masks: Tensor, metainfo: dict, rescale: bool) -> dict:
        check_numbers(classes, masks, metainfo)
        frame, config = ImageFrame.from_metainfo(metainfo, rescale), self.test_cfg
        results: dict = {}
        if config.get("panoptic_on", True):
            thresholds = ("object_mask_thr", "iou_thr", "filter_low_score")
            options = {key: config[key] for key in thresholds if key in config}
            panoptic = panoptic_map(classes, masks, frame, self.num_things_classes, **options)
            scores = dict(segment_values=panoptic.segment_values, segment_scores=panoptic.scores)
            results["pan_results"] = PixelData(metainfo=scores, sem_seg=panoptic.values[None])
        if config.get("instance_on", False):
            most = config.get("max_per_image", 100)
            results["ins_results"] = instances(classes, masks, frame, self.num_things_classes, most)
        if config.get("semantic_on", False):
            semantic = semantic_map(classes, masks, frame)
            results["sem_results"] = PixelData(sem_seg=semantic[None])
        return results


def check_numbers(classes: Tensor, masks: Tensor, metainfo: dict) -> None:
    """Raise an error for logits that are not finite, instead of a result that is void.

    Infinite mask logits become NaN when they are resized. Class logits may be minus infinity, which
    excludes a class.

    Args:
        classes: (Q, classes + 1) logits.
        masks: (Q, h, w) logits.
        metainfo: Metainfo of the data sample.

    Raises:
        FloatingPointError: Logits are not finite; the message names the image.
    """
    shares = classes.float().softmax(-1)
    for finite, name in (
        (shares.isfinite().all(), "class logits"),
        (_all_finite(masks), "mask logits"),
    ):
        if not finite:
            image = metainfo.get("img_path") or metainfo.get("img_id", "an image")
            raise FloatingPointError(
                f"{name} of {image} are not finite numbers: the model's weights may have diverged, "
                "or half precision may be too little for it"
            )


def _all_finite(values: Tensor) -> Tensor | bool:
    """Return True if all values are finite, by minimum and maximum, which is far faster."""
    if not values.numel():
        return True
    low, high = torch.aminmax(values)  # NaN if any value is
    return low.isfinite() & high.isfinite()
