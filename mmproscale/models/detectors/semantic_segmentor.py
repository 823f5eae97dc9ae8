"""mmseg's segmentor, whose results do not depend on the batch."""

from __future__ import annotations

from typing import Any

import torch
from mmseg.models.segmentors import EncoderDecoder as MMSegEncoderDecoder
from torch import Tensor

from mmproscale.models.detectors.batch_independence import BatchIndependent


class SemanticSegmentor(BatchIndependent, MMSegEncoderDecoder):
    """Segmentor to use instead of mmseg's ``EncoderDecoder``, with its arguments and weights.

    A test batch may have images of several sizes, which mmseg's class refuses.
    """

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Return class scores (B, classes, H, W) of images (B, 3, H, W), whole or by crops."""
        # mmseg warns of original sizes that differ. It resizes later, by the data samples.
        original = batch_img_metas[0]["ori_shape"]
        metas = [dict(metainfo, ori_shape=original) for metainfo in batch_img_metas]
        return super().inference(inputs, metas)

    def postprocess_result(self, seg_logits: Tensor, data_samples: Any = None) -> Any:
        """Return data samples with semantic maps; mmseg takes one class for a foreground's logit.

        Args:
            seg_logits: (B, classes, H, W).
            data_samples: One for each image, or None.
        """
        if seg_logits.shape[1] > 1:
            return super().postprocess_result(seg_logits, data_samples)
        below = torch.full_like(seg_logits, -1)  # scores are not negative
        samples = super().postprocess_result(torch.cat([seg_logits, below], dim=1), data_samples)
        for sample in samples:
            sample.seg_logits.data = sample.seg_logits.data[:1]
        return samples
