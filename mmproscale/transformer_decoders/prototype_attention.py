"""PEM's cross-attention: each query reads a single token of its mask (PEM section 3.2, eq. 1-7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN
from mmdet.models.layers import Mask2FormerTransformerDecoderLayer
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.registry import MODELS
from mmproscale.transformer_decoders.masked_attention import (
    Attention,
    attention_mask,
    drop_of_query,
    drop_where_image_has_none,
)

# The axis of (B, Q, C) over which eq. 6 normalises: as the paper says, or as the release does.
AXES = {"channels": -1, "queries": 1}
EMPTY_MASKS = {"query": drop_of_query, "image": drop_where_image_has_none}


class PrototypeAttention(BaseModule):
    """Queries and one token each, multiplied channel by channel.

    Args:
        embed_dims: Channels C of queries and memory.
        num_heads: Heads, each of which chooses a token for its share of the channels.
        prototypes: What stands for a map: for each query the token most like it in its own mask
            (``'masked'``), or anywhere (``'any'``), or the sum of all tokens (``'sum'``). The last
            two are Table 5's ablations.
        normalised_over: What eq. 6 divides by its length: a query's ``'channels'``, as the paper
            says, or a channel's ``'queries'``, as in the authors' code, with which their weights
            were trained and by which a result depends on the number of queries.
        empty_masks: Whose mask is dropped where it has no pixel: that ``'query'``'s, as in
            Mask2Former, or an ``'image'``'s if all its queries' are empty, where else such a
            query's token is the first one, as in the authors' code.
        norm_cfg: Normalisation of the memory.

    Raises:
        InputError: One of the choices is not known; heads that do not share the channels.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        prototypes: str = "masked",
        normalised_over: str = "channels",
        empty_masks: str = "query",
        norm_cfg: dict = dict(type="BN"),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        for key, value, known in (
            ("prototypes", prototypes, PROTOTYPES),
            ("normalised_over", normalised_over, AXES),
            ("empty_masks", empty_masks, EMPTY_MASKS),
        ):
            if value not in known:
                raise InputError(f"cross_attn_cfg.{key}={value!r} must be one of {tuple(known)}")
        if embed_dims % num_heads:
            raise InputError(
                f"cross_attn_cfg has embed_dims={embed_dims} and num_heads={num_heads}: the heads "
                "must share the channels evenly"
            )
        self.embed_dims, self.num_heads = embed_dims, num_heads
        self.prototypes, self.normalised_over = prototypes, normalised_over
        self.empty_masks = empty_masks
        self.memory_norm = build_norm_layer(norm_cfg, embed_dims)[1]
        self.memory_conv = nn.Conv2d(embed_dims, embed_dims, 3, padding=1, groups=embed_dims)
        self.memory_proj = nn.Linear(embed_dims, embed_dims)
        self.query_norm = nn.LayerNorm(embed_dims)
        self.query_proj = nn.Linear(embed_dims, embed_dims)
        self.interaction = nn.Linear(embed_dims, embed_dims)
        self.alpha = nn.Parameter(torch.ones(embed_dims))
        self.out_proj = nn.Linear(embed_dims, embed_dims)

    def forward(
        self,
        queries: Tensor,
        query_pos: Tensor,
        memory: Tensor,
        memory_pos: Tensor,
        shape: tuple[int, int],
        reads: Tensor | None = None,
    ) -> Tensor:
        """The queries with what they gathered added.

        Args:
            queries: (B, Q, C).
            query_pos: Broadcasts to (B, Q, C).
            memory: (B, H * W, C).
            memory_pos: Broadcasts to (B, H * W, C).
            shape: (H, W).
            reads: Booleans (B, 1, Q, H * W), true where a query may choose; None for everywhere.

        Returns:
            (B, Q, C).
        """
        q = F.normalize(self.query_proj(self.query_norm(queries + query_pos)), dim=-1)
        k = F.normalize(self._keys(memory + memory_pos, shape), dim=-1)
        prototypes = PROTOTYPES[self.prototypes](q, k, reads, self.num_heads)
        strength = F.normalize(self.interaction(q * prototypes), dim=AXES[self.normalised_over])
        return queries + self.out_proj(self.alpha * strength + prototypes)

    def _keys(self, memory: Tensor, shape: tuple[int, int]) -> Tensor:
        """(B, H * W, C) to the same."""
        feature_map = memory.unflatten(1, shape).permute(0, 3, 1, 2)  # -> BxCxHxW
        feature_map = self.memory_conv(self.memory_norm(feature_map))
        return self.memory_proj(feature_map.flatten(2).transpose(1, 2))


def chosen_tokens(q: Tensor, k: Tensor, reads: Tensor | None, num_heads: int) -> Tensor:
    """For each query and head the token most like it, of those that it may choose (eq. 1-4).

    Args:
        q: Queries (B, Q, C).
        k: Tokens (B, N, C).
        reads: Booleans (B, 1, Q, N), or None.
        num_heads: Of how many channels' groups each chooses for itself.

    Returns:
        (B, Q, C).
    """
    k = k.unflatten(-1, (num_heads, -1)).transpose(1, 2)  # BxNxC -> BxHxNxD
    index = _most_similar(q.unflatten(-1, (num_heads, -1)).transpose(1, 2), k, reads)
    chosen = k.gather(2, index.unsqueeze(-1).expand(-1, -1, -1, k.shape[-1]))
    return chosen.transpose(1, 2).flatten(2)


@torch.no_grad()
def _most_similar(q: Tensor, k: Tensor, reads: Tensor | None) -> Tensor:
    """Token of the largest product, (B, heads, Q); a choice, so nothing is learnt through it."""
    similarity = q @ k.transpose(2, 3)
    if reads is not None:
        similarity = similarity.masked_fill(~reads, float("-inf"))
    return similarity.argmax(-1)


def sum_of_tokens(q: Tensor, k: Tensor, reads: Tensor | None, num_heads: int) -> Tensor:
    """The same for all queries, (B, 1, C); arguments as :func:`chosen_tokens`'."""
    return k.sum(1, keepdim=True)


PROTOTYPES: dict[str, Callable[[Tensor, Tensor, Tensor | None, int], Tensor]] = {
    "masked": chosen_tokens,
    "any": chosen_tokens,
    "sum": sum_of_tokens,
}


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
