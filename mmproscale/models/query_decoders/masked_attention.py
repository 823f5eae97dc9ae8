"""Masked attention of Mask2Former: each query reads the pixels of its own mask (eq. 2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmdet.models.layers import Mask2FormerTransformerDecoderLayer
from torch import Tensor

from mmproscale.models.layers.attention import Attention, mask_logits
from mmproscale.registry import MODELS


@MODELS.register_module()
class MaskedAttentionLayer(Mask2FormerTransformerDecoderLayer):
    """mmdet's layer (masked attention, self-attention, feed-forward) with :class:`Attention`."""

    reads_masks = True

    def _init_layers(self) -> None:
        super()._init_layers()
        self.cross_attn = Attention(**self.cross_attn_cfg)
        self.self_attn = Attention(**self.self_attn_cfg)

    def read(
        self,
        queries: Tensor,
        query_pos: Tensor,
        memory: Tensor,
        memory_pos: Tensor,
        mask_features: Tensor,
        mask_embedding: Tensor,
        mask_bias: Tensor | None,
    ) -> Tensor:
        """Return the queries (B, Q, C) after they have read a level.

        Args:
            queries: (B, Q, C).
            query_pos: (1, Q, C).
            memory: Tokens (B, H * W, C) of the level.
            memory_pos: (1, H * W, C).
            mask_features: (B, C_mask, H, W) at the level's size.
            mask_embedding: (B, Q, C_mask) of the queries' masks so far.
            mask_bias: (B, Q, 1) or None.
        """
        return self(
            query=queries,
            key=memory,
            value=memory,
            query_pos=query_pos,
            key_pos=memory_pos,
            cross_attn_mask=attention_mask(mask_embedding, mask_features, mask_bias),
        )


def unmask_empty_queries(reads: Tensor) -> Tensor:
    """Let queries without a pixel in ``reads`` (B, Q, N) read all pixels, as in Mask2Former."""
    return reads | ~reads.any(-1, keepdim=True)


def unmask_empty_images(reads: Tensor) -> Tensor:
    """Let the queries of an image without any pixel in ``reads`` (B, Q, N) read all pixels.

    In other images a query without a pixel reads the first pixel, which argmax gives in that case.
    """
    reads = reads | ~reads.flatten(1).any(1)[:, None, None]
    reads[..., 0] |= ~reads.any(-1)
    return reads


@torch.no_grad()
def attention_mask(
    mask_embedding: Tensor,
    mask_features: Tensor,
    mask_bias: Tensor | None = None,
    unmask_empty: Callable[[Tensor], Tensor] = unmask_empty_queries,
) -> Tensor:
    """Return the attention mask, True where a query reads: the pixels of its mask.

    Args:
        mask_embedding: (B, Q, C).
        mask_features: (B, C, H, W), resized to the level that is read. Mask prediction and bilinear
            resizing are both linear, so the result is the resized mask of the full-size features.
        mask_bias: As in :func:`mask_logits`.
        unmask_empty: Function of booleans (B, Q, H * W) that replaces masks without a pixel.

    Returns:
        Booleans (B, 1, Q, H * W), the same for all heads.
    """
    reads = mask_logits(mask_embedding, mask_features, mask_bias) >= 0
    return unmask_empty(reads).unsqueeze(1)
