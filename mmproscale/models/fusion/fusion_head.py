"""The fusion head: class and mask logits of a batch to panoptic, instance and semantic results."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.seg_heads.panoptic_fusion_heads import MaskFormerFusionHead
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData
from torch import Tensor

from mmproscale.models.fusion.image_frame import ImageFrame
from mmproscale.models.fusion.instance import instances
from mmproscale.models.fusion.panoptic import panoptic_map
from mmproscale.models.fusion.semantic import semantic_map
from mmproscale.registry import MODELS


@MODELS.register_module()
class UniversalFusionHead(MaskFormerFusionHead):
    """In the place of mmdet's ``MaskFormerFusionHead``: same arguments, same results, and semantic
    ones too.

    ``test_cfg`` says what is asked for (``panoptic_on``, by default True, ``instance_on``,
    ``semantic_on``) and holds the thresholds: ``object_mask_thr`` (0.8), ``iou_thr`` (0.8),
    ``filter_low_score`` (False), ``max_per_image`` (100).
    """

    def predict(
        self,
        mask_cls_results: Tensor,
        mask_pred_results: Tensor,
        batch_data_samples: Sequence[DetDataSample],
        rescale: bool = False,
        **kwargs,
    ) -> list[dict]:
        """Results of each image, as mmdet's: ``pan_results``, ``ins_results``, ``sem_results``.

        Args:
            mask_cls_results: (B, Q, classes + 1) logits of any precision; results are made in fp32.
            mask_pred_results: (B, Q, h, w) logits of the padded images, at any size; likewise.
            batch_data_samples: One for each image.
            rescale: Whether results have the original images' size.

        Raises:
            FloatingPointError: Mask or class logits that are not finite numbers.
        """
        return [
            self._fuse(classes, masks, sample.metainfo, rescale)
            for classes, masks, sample in zip(
                mask_cls_results, mask_pred_results, batch_data_samples, strict=True
            )
        ]

    def _fuse(self, classes: Tensor, masks: Tensor, metainfo: dict, rescale: bool) -> dict:
        check_numbers(classes, masks, metainfo)
        frame, config = ImageFrame.of(metainfo, rescale), self.test_cfg
        results: dict = {}
        if config.get("panoptic_on", True):
            thresholds = ("object_mask_thr", "iou_thr", "filter_low_score")
            given = {key: config[key] for key in thresholds if key in config}
            panoptic = panoptic_map(classes, masks, frame, self.num_things_classes, **given)
            results["pan_results"] = PixelData(sem_seg=panoptic[None])
        if config.get("instance_on", False):
            most = config.get("max_per_image", 100)
            results["ins_results"] = instances(classes, masks, frame, self.num_things_classes, most)
        if config.get("semantic_on", False):
            semantic = semantic_map(classes, masks, frame)
            results["sem_results"] = PixelData(sem_seg=semantic[None])
        return results


def check_numbers(classes: Tensor, masks: Tensor, metainfo: dict) -> None:
    """A mask of NaN would win no pixel and lose none: the image would be void without a word.

    Resizing makes NaN of infinite mask logits. Class logits may be minus infinity, which leaves a
    class out.

    Args:
        classes: (Q, classes + 1) logits.
        masks: (Q, h, w) logits.
        metainfo: That of the data sample.

    Raises:
        FloatingPointError: Names the image.
    """
    shares = classes.float().softmax(-1)
    for finite, name in (
        (shares.isfinite().all(), "class logits"),
        (_finite(masks), "mask logits"),
    ):
        if not finite:
            image = metainfo.get("img_path") or metainfo.get("img_id", "an image")
            raise FloatingPointError(
                f"{name} of {image} are not finite numbers: the model's weights may have diverged, "
                "or half precision may be too little for it"
            )


def _finite(values: Tensor) -> Tensor | bool:
    """Whether all are: both ends of the range say it far faster than a look at each number."""
    if not values.numel():
        return True
    low, high = torch.aminmax(values)  # NaN if any is
    return low.isfinite() & high.isfinite()
