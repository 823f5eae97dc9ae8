"""PEM's decoder layer: prototype attention, self-attention, feed-forward (PEM section 3.2)."""

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
        norm_order: Where self-attention and feed-forward have their norms: ``'post'``, after what
            they add, as in Mask2Former, or ``'pre'``, before it.
        arguments: mmdet's; ``cross_attn_cfg`` has :class:`PrototypeAttention`'s.

    Raises:
        InputError: Another ``norm_order``; a ``dropout`` in ``cross_attn_cfg``.
    """

    def __init__(self, *args, norm_order: str = "post", **arguments) -> None:
        if norm_order not in ("pre", "post"):
            raise InputError(f"layer_cfg.norm_order={norm_order!r} must be 'pre' or 'post'")
        self.norm_order = norm_order
        super().__init__(*args, **arguments)

    def _init_layers(self) -> None:
        self.self_attn = Attention(**self.self_attn_cfg)
        self.cross_attn = PrototypeAttention(**_without_plain(self.cross_attn_cfg))
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**self.ffn_cfg)
        self.norms = ModuleList(
            build_norm_layer(self.norm_cfg, self.embed_dims)[1] for _ in range(2)
        )

    @property
    def reads_masks(self) -> bool:
        """Whether masks steer what a query reads."""
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
        """As :meth:`MaskedAttentionLayer.read`."""
        reads = None
        if self.reads_masks:
            drop_empty = EMPTY_MASKS[self.cross_attn.empty_masks]
            reads = attention_mask(mask_embedding, mask_features, mask_bias, drop_empty)
        return self(queries, query_pos, memory, memory_pos, mask_features.shape[-2:], reads)

    def forward(
        self,
        queries: Tensor,
        query_pos: Tensor,
        memory: Tensor,
        memory_pos: Tensor,
        shape: tuple[int, int],
        reads: Tensor | None,
    ) -> Tensor:
        """As :meth:`PrototypeAttention.forward`."""
        queries = self.cross_attn(queries, query_pos, memory, memory_pos, shape, reads)
        of_attention, of_ffn = self.norms
        if self.norm_order == "post":
            return of_ffn(self.ffn(of_attention(self._among_themselves(queries, query_pos))))
        queries = self._among_themselves(of_attention(queries), query_pos, identity=queries)
        return self.ffn(of_ffn(queries), identity=queries)

    def _among_themselves(self, x: Tensor, pos: Tensor, identity: Tensor | None = None) -> Tensor:
        return self.self_attn(x, x, x, query_pos=pos, key_pos=pos, identity=identity)


def _without_plain(config: Mapping) -> dict:
    """Without what stock configs say of plain attention."""
    config = dict(config)
    config.pop("batch_first", None)
    if config.pop("dropout", 0.0):
        raise InputError("cross_attn_cfg.dropout: prototype attention has none, set it to 0.0")
    return config
