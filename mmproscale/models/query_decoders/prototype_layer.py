"""Decoder layer of PEM with prototype attention instead of masked attention (section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping

from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN
from mmdet.models.layers import Mask2FormerTransformerDecoderLayer
from mmengine.model import ModuleList
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.models.layers.attention import Attention
from mmproscale.models.query_decoders.masked_attention import attention_mask
from mmproscale.models.query_decoders.prototype_attention import EMPTY_MASKS, PrototypeAttention
from mmproscale.registry import MODELS


@MODELS.register_module()
class PrototypeAttentionLayer(Mask2FormerTransformerDecoderLayer):
    """PEM's decoder layer: prototype attention, self-attention, feed-forward.

    Args:
        norm_order: Place of the norms of self-attention and feed-forward: ``'post'``, after the
            residual sum, as in Mask2Former, or ``'pre'``, before the attention or feed-forward.
        arguments: Arguments of mmdet's layer; ``cross_attn_cfg`` has those of
            :class:`PrototypeAttention`.

    Raises:
        InputError: ``norm_order`` is unknown; ``cross_attn_cfg`` has a ``dropout``.
    """

    def __init__(self, *args, norm_order: str = "post", **arguments) -> None:
        if norm_order not in ("pre", "post"):
            raise InputError(f"layer_cfg.norm_order={norm_order!r} must be 'pre' or 'post'")
        self.norm_order = norm_order
        super().__init__(*args, **arguments)

    def _init_layers(self) -> None:
        self.self_attn = Attention(**self.self_attn_cfg)
        self.cross_attn = PrototypeAttention(**_prototype_attention_cfg(self.cross_attn_cfg))
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**self.ffn_cfg)
        self.norms = ModuleList(
            build_norm_layer(self.norm_cfg, self.embed_dims)[1] for _ in range(2)
        )

    @property
    def reads_masks(self) -> bool:
        """True if queries read only within their masks."""
        return self.cross_attn.prototypes == "masked"

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
        """Return the queries after they have read a level, as :meth:`MaskedAttentionLayer.read`."""
        attn_mask = None
        if self.reads_masks:
            unmask_empty = EMPTY_MASKS[self.cross_attn.empty_masks]
            attn_mask = attention_mask(mask_embedding, mask_features, mask_bias, unmask_empty)
        return self(queries, query_pos, memory, memory_pos, mask_features.shape[-2:], attn_mask)

    def forward(
        self,
        queries: Tensor,
        query_pos: Tensor,
        memory: Tensor,
        memory_pos: Tensor,
        shape: tuple[int, int],
        attn_mask: Tensor | None,
    ) -> Tensor:
        """Run the layer; arguments are those of :meth:`PrototypeAttention.forward`."""
        queries = self.cross_attn(queries, query_pos, memory, memory_pos, shape, attn_mask)
        attention_norm, ffn_norm = self.norms
        if self.norm_order == "post":
            return ffn_norm(self.ffn(attention_norm(self._self_attention(queries, query_pos))))
        queries = self._self_attention(attention_norm(queries), query_pos, identity=queries)
        return self.ffn(ffn_norm(queries), identity=queries)

    def _self_attention(self, x: Tensor, pos: Tensor, identity: Tensor | None = None) -> Tensor:
        return self.self_attn(x, x, x, query_pos=pos, key_pos=pos, identity=identity)


def _prototype_attention_cfg(config: Mapping) -> dict:
    """Return the config without the keys of plain attention that stock configs have."""
    config = dict(config)
    config.pop("batch_first", None)
    if config.pop("dropout", 0.0):
        raise InputError("cross_attn_cfg.dropout: prototype attention has no dropout, set 0.0")
    return config
