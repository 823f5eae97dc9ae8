"""The query decoder: queries read the encoded maps level by level, steered by their own masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from mmdet.models.layers import Mask2FormerTransformerDecoder
from mmengine.model import ModuleList
from torch import Tensor

from mmproscale.transformer_decoders.masked_attention import MaskedAttentionLayer, attention_mask


class QueryDecoder(Mask2FormerTransformerDecoder):
    """Mask2Former's transformer decoder; weights by mmdet's names."""

    def _init_layers(self) -> None:
        super()._init_layers()
        self.layers = ModuleList(
            MaskedAttentionLayer(**self.layer_cfg) for _ in range(self.num_layers)
        )

    def forward(
        self,
        queries: Tensor,
        query_pos: Tensor,
        memories: Sequence[Tensor],
        memory_pos: Sequence[Tensor],
        mask_features: Sequence[Tensor],
        mask_embed: Callable[[Tensor], tuple[Tensor, Tensor | None]],
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Normalised queries, and their mask embeddings, before the first layer and after each.

        Args:
            queries: (B, Q, C).
            query_pos: (1, Q, C).
            memories: (B, N_l, C) of each level, in the order in which layers read them, over and
                over.
            memory_pos: (1, N_l, C) of each level.
            mask_features: (B, C_mask, H_l, W_l) of each level, which decide what a query reads.
            mask_embed: Queries to mask embeddings (B, Q, C_mask), and their bias (B, Q, 1) or None.

        Returns:
            (layers + 1, B, Q, C), (layers + 1, B, Q, C_mask) and (layers + 1, B, Q, 1) or None.
        """
        outputs = [self.post_norm(queries)]
        embeddings = [mask_embed(outputs[0])]
        for index, layer in enumerate(self.layers):
            level = index % len(memories)
            embedding, bias = embeddings[-1]
            queries = layer(
                query=queries,
                key=memories[level],
                value=memories[level],
                query_pos=query_pos,
                key_pos=memory_pos[level],
                cross_attn_mask=attention_mask(embedding, mask_features[level], bias),
            )
            outputs.append(self.post_norm(queries))
            embeddings.append(mask_embed(outputs[-1]))
        vectors, biases = zip(*embeddings, strict=True)
        bias = None if biases[0] is None else torch.stack(biases)
        return torch.stack(outputs), torch.stack(vectors), bias
