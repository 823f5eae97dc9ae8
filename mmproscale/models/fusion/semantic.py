"""Fusion of queries to a class for each pixel (Mask2Former's semantic inference)."""

from __future__ import annotations

from torch import Tensor

from mmproscale.models.fusion.image_frame import ImageFrame


def class_scores(class_logits: Tensor, masks: Tensor, frame: ImageFrame) -> Tensor:
    """Sum class probability times mask probability over all queries, without 'no object'.

    Args:
        class_logits: (Q, classes + 1), the last class being 'no object'.
        masks: (Q, h, w) mask logits of the batch, at any size.
        frame: Sizes of batch, image and result.

    Returns:
        (classes, H, W) fp32.
    """
    shares = class_logits.float().softmax(-1)[:, :-1]
    scores = shares.new_zeros(shares.shape[-1], frame.output[0] * frame.output[1])
    for part, resized in frame.resized_chunks(masks):
        scores.addmm_(shares[part].T, resized.sigmoid().flatten(1))
    return scores.unflatten(1, frame.output)


def semantic_map(class_logits: Tensor, masks: Tensor, frame: ImageFrame) -> Tensor:
    """Return the class with the highest :func:`class_scores` for each pixel, (H, W) int64."""
    return class_scores(class_logits, masks, frame).max(0).indices
