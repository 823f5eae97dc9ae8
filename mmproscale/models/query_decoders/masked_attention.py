"""Mask2Former's masked attention: each query reads the pixels of its own mask (eq. 2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmdet.models.layers import Mask2FormerTransformerDecoderLayer
from torch import Tensor

from mmproscale.registry import MODELS


class Attention(MultiheadAttention):
    """mmcv's module, by PyTorch's fused kernel and without the weights that nobody reads."""

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        query_pos: Tensor | None = None,
        key_pos: Tensor | None = None,
        attn_mask: Tensor | None = None,
        key_padding_mask: None = None,
        identity: Tensor | None = None,
    ) -> Tensor:
        """The queries with what they gathered added.

        Args:
            query: (B, Q, C).
            key: (B, N, C).
            value: (B, N, C).
            query_pos: Added to the queries, broadcast to (B, Q, C).
            key_pos: Added to the keys, broadcast to (B, N, C).
            attn_mask: Booleans that broadcast to (B, heads, Q, N), true where a query reads.
            key_padding_mask: Not supported; Mask2Former masks no padding.
            identity: What the result is added to, (B, Q, C); None for the queries.

        Returns:
            (B, Q, C).
        """
        in_projections = zip(
            (_plus(query, query_pos), _plus(key, key_pos), value),
            self.attn.in_proj_weight.chunk(3),
            self.attn.in_proj_bias.chunk(3),
            strict=True,
        )
        q, k, v = (
            F.linear(x, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x, weight, bias in in_projections
        )  # BxNxC -> BxHxNxD
        dropout = self.attn.dropout if self.training else 0.0
        gathered = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, dropout_p=dropout)
        out = self.attn.out_proj(gathered.transpose(1, 2).flatten(2))
        identity = query if identity is None else identity
        return identity + self.dropout_layer(self.proj_drop(out))


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


def mask_logits(
    mask_embedding: Tensor, mask_features: Tensor, mask_bias: Tensor | None = None
) -> Tensor:
    """Logits of each query's mask, (B, Q, H * W): embeddings times features.

    Args:
        mask_embedding: (B, Q, C).
        mask_features: (B, C, H, W).
        mask_bias: (B, Q, 1), added to each of a query's pixels; None for nothing.
    """
    features = mask_features.flatten(2)
    if mask_bias is None:
        return mask_embedding @ features
    return torch.baddbmm(mask_bias, mask_embedding, features)


def _plus(tokens: Tensor, position: Tensor | None) -> Tensor:
    return tokens if position is None else tokens + position
