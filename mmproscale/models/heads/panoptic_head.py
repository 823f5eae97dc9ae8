"""Mask head with mmdet's signature: backbone maps and data samples to losses or mask logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor

from mmproscale.models.criterion import Targets, panoptic_targets
from mmproscale.models.heads.mask_head import MaskHead
from mmproscale.registry import MODELS


@MODELS.register_module()
class PanopticHead(MaskHead):
    """Head to use instead of mmdet's ``Mask2FormerHead``, for panoptic and instance results."""

    def loss(
        self, x: Sequence[Tensor], batch_data_samples: Sequence[DetDataSample]
    ) -> dict[str, Tensor]:
        """Return the losses of backbone maps ``x``, as :meth:`losses`."""
        return self.losses(x, self._targets(batch_data_samples))

    def predict(
        self, x: Sequence[Tensor], batch_data_samples: Sequence[DetDataSample]
    ) -> tuple[Tensor, Tensor]:
        """Return class logits (B, Q, classes + 1) and mask logits (B, Q, H, W), at batch size."""
        predictions = self.decode(x)
        size = batch_data_samples[0].metainfo["batch_input_shape"]
        masks = F.interpolate(predictions.masks(), size, mode="bilinear", align_corners=False)
        return predictions.class_logits[-1], masks

    def _targets(self, samples: Sequence[DetDataSample]) -> list[Targets]:
        has_stuff = any("gt_sem_seg" in sample for sample in samples)
        return panoptic_targets(
            [sample.gt_instances.labels for sample in samples],
            [sample.gt_instances.masks for sample in samples],
            [sample.gt_sem_seg.sem_seg for sample in samples] if has_stuff else None,
            self.num_things_classes,
            self.num_stuff_classes,
        )
