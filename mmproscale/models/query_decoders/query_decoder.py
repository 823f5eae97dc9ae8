"""Query decoder: queries read the encoded maps level by level, within their own masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from mmcv.cnn import build_norm_layer
from mmdet.models.layers import Mask2FormerTransformerDecoder
from mmengine.model import ModuleList
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.registry import MODELS


class QueryDecoder(Mask2FormerTransformerDecoder):
    """Mask2Former's transformer decoder, with mmdet's names of weights.

    ``layer_cfg.type`` is the name of one of our layers, without a prefix: by default
    ``'MaskedAttentionLayer'``, or ``'PrototypeAttentionLayer'``. Without layers the learnt queries
    predict directly.

    Raises:
        InputError: ``num_layers`` is not a whole number of at least 0.
    """

    def _init_layers(self) -> None:
        if type(self.num_layers) is not int or self.num_layers < 0:
            raise InputError(
                f"transformer_decoder.num_layers={self.num_layers!r} must be 0 or more"
            )
        config = dict(type="MaskedAttentionLayer", _scope_="mmproscale") | dict(self.layer_cfg)
        self.layers = ModuleList(MODELS.build(config) for _ in range(self.num_layers))
        self.embed_dims = self.layer_cfg["self_attn_cfg"]["embed_dims"]
        self.post_norm = build_norm_layer(self.post_norm_cfg, self.embed_dims)[1]

    def forward(
        self,
        queries: Tensor,
        query_pos: Tensor,
        memories: Sequence[Tensor],
        memory_pos: Sequence[Tensor],
        mask_features: Sequence[Tensor],
        mask_embed: Callable[[Tensor], tuple[Tensor, Tensor | None]],
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return normalised queries, mask embeddings and biases before and after each layer.

        Args:
            queries: (B, Q, C).
            query_pos: (1, Q, C).
            memories: (B, N_l, C) of each level, in the order in which layers read them; after the
                last level the first follows again.
            memory_pos: (1, N_l, C) of each level.
            mask_features: (B, C_mask, H_l, W_l) of each level, for the attention masks.
            mask_embed: Queries to mask embeddings (B, Q, C_mask), and their bias (B, Q, 1) or None.

        Returns:
            (layers + 1, B, Q, C), (layers + 1, B, Q, C_mask) and (layers + 1, B, Q, 1) or None.
        """
        outputs = [self.post_norm(queries)]
        embeddings = [mask_embed(outputs[0])]
        for index, layer in enumerate(self.layers):
            level = index % len(memories)
            queries = layer.read(
                queries,
                query_pos,
                memories[level],
                memory_pos[level],
                mask_features[level],
                *embeddings[-1],
            )
            outputs.append(self.post_norm(queries))
            embeddings.append(mask_embed(outputs[-1]))
        vectors, biases = zip(*embeddings, strict=True)
        bias = None if biases[0] is None else torch.stack(biases)
        return torch.stack(outputs), torch.stack(vectors), bias
