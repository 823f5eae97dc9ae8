"""Mask2Former's masked attention: each query reads the pixels of its own mask (eq. 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmdet.models.layers import Mask2FormerTransformerDecoderLayer
from torch import Tensor


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
        return query + self.dropout_layer(self.proj_drop(out))


class MaskedAttentionLayer(Mask2FormerTransformerDecoderLayer):
    """mmdet's layer (masked attention, self-attention, feed-forward) around :class:`Attention`."""

    def _init_layers(self) -> None:
        super()._init_layers()
        self.cross_attn = Attention(**self.cross_attn_cfg)
        self.self_attn = Attention(**self.self_attn_cfg)


@torch.no_grad()
def attention_mask(
    mask_embedding: Tensor, mask_features: Tensor, mask_bias: Tensor | None = None
) -> Tensor:
    """Where each query reads: the pixels of its mask, or all if its mask has none.

    Args:
        mask_embedding: (B, Q, C).
        mask_features: (B, C, H, W), resized to the level that is read. Mask prediction and bilinear
            resizing are both linear, so this is the resized mask of the full-size features.
        mask_bias: As :func:`mask_logits`.

    Returns:
        (B, 1, Q, H * W), the same for all heads.
    """
    reads = mask_logits(mask_embedding, mask_features, mask_bias) >= 0
    return (reads | ~reads.any(-1, keepdim=True)).unsqueeze(1)


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
