"""Plain attention by PyTorch's fused kernel, and mask logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import MultiheadAttention
from torch import Tensor

from mmproscale.ops.cpu_inference import product


class Attention(MultiheadAttention):
    """mmcv's module with PyTorch's fused kernel, which does not return attention weights."""

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
        """Attend from queries to keys and add the result to ``identity``.

        Args:
            query: (B, Q, C).
            key: (B, N, C).
            value: (B, N, C).
            query_pos: Added to the queries, broadcast to (B, Q, C).
            key_pos: Added to the keys, broadcast to (B, N, C).
            attn_mask: Booleans that broadcast to (B, heads, Q, N), True where a query reads.
            key_padding_mask: Not supported; Mask2Former masks no padding.
            identity: (B, Q, C), to which the result is added; None for the queries.

        Returns:
            (B, Q, C).
        """
        in_projections = zip(
            (_add_position(query, query_pos), _add_position(key, key_pos), value),
            self.attn.in_proj_weight.chunk(3),
            self.attn.in_proj_bias.chunk(3),
            strict=True,
        )
        q, k, v = (
            product(x, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x, weight, bias in in_projections
        )  # BxNxC -> BxHxNxD
        dropout = self.attn.dropout if self.training else 0.0
        gathered = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, dropout_p=dropout)
        out = self.attn.out_proj(gathered.transpose(1, 2).flatten(2))
        identity = query if identity is None else identity
        return identity + self.dropout_layer(self.proj_drop(out))


def mask_logits(
    mask_embedding: Tensor, mask_features: Tensor, mask_bias: Tensor | None = None
) -> Tensor:
    """Return the logits of each query's mask, (B, Q, H * W): embeddings times features.

    Args:
        mask_embedding: (B, Q, C).
        mask_features: (B, C, H, W).
        mask_bias: (B, Q, 1), added at each pixel of a query's mask; None for no bias.
    """
    features = mask_features.flatten(2)
    if mask_bias is None:
        return mask_embedding @ features
    return torch.baddbmm(mask_bias, mask_embedding, features)


def _add_position(tokens: Tensor, position: Tensor | None) -> Tensor:
    return tokens if position is None else tokens + position
