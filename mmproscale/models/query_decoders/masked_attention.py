"""Mask2Former's masked attention: each query reads the pixels of its own mask (eq. 2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmdet.models.layers import Mask2FormerTransformerDecoderLayer
from torch import Tensor

from mmproscale.models.layers.attention import Attention, mask_logits
from mmproscale.registry import MODELS


@MODELS.register_module()
class MaskedAttentionLayer(Mask2FormerTransformerDecoderLayer):
    """mmdet's layer (masked attention, self-attention, feed-forward) around :class:`Attention`."""

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
        """The queries after they have read a level, (B, Q, C).

        Args:
            queries: (B, Q, C).
            query_pos: (1, Q, C).
            memory: The level's tokens (B, H * W, C).
            memory_pos: (1, H * W, C).
            mask_features: (B, C_mask, H, W) of the level.
            mask_embedding: (B, Q, C_mask), the masks that the queries had before.
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


def drop_of_query(reads: Tensor) -> Tensor:
    """Booleans (B, Q, N), where a query without a pixel reads all, as in Mask2Former."""
    return reads | ~reads.any(-1, keepdim=True)


def drop_where_image_has_none(reads: Tensor) -> Tensor:
    """Booleans (B, Q, N), where the queries of an image without any pixel read all.

    In other images a query without a pixel reads the first, as the largest of nothing is the first.
    """
    reads = reads | ~reads.flatten(1).any(1)[:, None, None]
    reads[..., 0] |= ~reads.any(-1)
    return reads


@torch.no_grad()
def attention_mask(
    mask_embedding: Tensor,
    mask_features: Tensor,
    mask_bias: Tensor | None = None,
    drop_empty: Callable[[Tensor], Tensor] = drop_of_query,
) -> Tensor:
    """Where each query reads: the pixels of its mask, or all if its mask has none.

    Args:
        mask_embedding: (B, Q, C).
        mask_features: (B, C, H, W), resized to the level that is read. Mask prediction and bilinear
            resizing are both linear, so this is the resized mask of the full-size features.
        mask_bias: As :func:`mask_logits`.
        drop_empty: What becomes of masks without a pixel, of booleans (B, Q, H * W).

    Returns:
        (B, 1, Q, H * W), the same for all heads.
    """
    reads = mask_logits(mask_embedding, mask_features, mask_bias) >= 0
    return drop_empty(reads).unsqueeze(1)
