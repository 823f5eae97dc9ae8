"""Cross-attention of PEM: each query reads a single token of its mask (section 3.2, eq. 1-7).

The choice of a token has no gradient. So the tokens' keys are computed and compared in stripes of
rows, each with the queries whose masks have a pixel there, and are not kept. For training, only the
keys of the chosen tokens (prototypes) are computed again, with gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake
from torch.nn.modules.batchnorm import _BatchNorm

from mmproscale.errors import InputError
from mmproscale.models.layers.token_layout import to_tokens
from mmproscale.models.query_decoders.masked_attention import (
    unmask_empty_images,
    unmask_empty_queries,
)

# Axis of (B, Q, C) over which eq. 6 normalises.
AXES = {"channels": -1, "queries": 1}
EMPTY_MASKS = {"query": unmask_empty_queries, "image": unmask_empty_images}
PROTOTYPES = ("masked", "any", "sum")
# Tokens that are compared in one step on a CPU, so that intermediate results stay in its cache.
TOKENS_PER_STRIPE = 2048
# Tokens of a block, whose maximum is found before its position.
BLOCK = 64

# Function of a selection of tokens of a (B, C, H, W) map that applies it to the normalised memory.
Memory = Callable[[Callable[[Tensor], Tensor]], Tensor]


class PrototypeAttention(BaseModule):
    """Attention in which each query is multiplied with one token, channel by channel.

    Args:
        embed_dims: Channels C of queries and memory.
        num_heads: Number of heads, each of which chooses a token for its share of the channels.
        prototypes: Prototype of a query: the most similar token in its own mask (``'masked'``) or
            of the whole map (``'any'``), or the sum of all tokens (``'sum'``). The last two are
            ablations of Table 5.
        normalised_over: Axis over which eq. 6 normalises: the ``'channels'`` of a query, as the
            paper says, or the ``'queries'`` of a channel, as the authors' code, with which their
            weights were trained. With the latter, results depend on the number of queries.
        empty_masks: Queries with an empty mask that read the whole map: each such ``'query'``, as
            in Mask2Former, or only those of an ``'image'`` with nothing but empty masks, as in the
            authors' code, where other queries with an empty mask read the first token.
        norm_cfg: Normalisation of the memory.

    Raises:
        InputError: A choice is unknown; ``embed_dims`` is not a multiple of ``num_heads``.
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
        attn_mask: Tensor | None = None,
    ) -> Tensor:
        """Add the prototypes' part to the queries (eq. 1-7).

        Args:
            queries: (B, Q, C).
            query_pos: Broadcasts to (B, Q, C).
            memory: (B, H * W, C).
            memory_pos: (1, H * W, C).
            shape: (H, W).
            attn_mask: Booleans (B, 1, Q, H * W), True for tokens that a query may choose, at least
                one for each query; None for all tokens.

        Returns:
            (B, Q, C).
        """
        q = F.normalize(self.query_proj(self.query_norm(queries + query_pos)), dim=-1)
        normed = self._normalise(memory, memory_pos, shape)
        if self.prototypes == "sum":
            prototypes = self._row_keys(normed, 0, shape[0]).sum(1, keepdim=True)
        else:
            index, prototypes = self._choose_prototypes(q, normed, shape, attn_mask)
            if torch.is_grad_enabled():
                # Otherwise autocast reuses the weights that it cast without gradients, and they get
                # none (torch before 2.10).
                torch.clear_autocast_cache()
                prototypes = self._prototype_keys(normed, index, shape)
        strength = F.normalize(self.interaction(q * prototypes), dim=AXES[self.normalised_over])
        return queries + self.out_proj(self.alpha * strength + prototypes)

    def _normalise(self, memory: Tensor, position: Tensor, shape: tuple[int, int]) -> Memory:
        """Return the normalised memory, which a batch norm in evaluation computes for tokens."""
        content, place = (  # BxNxC -> BxCxHxW
            tokens.unflatten(1, shape).permute(0, 3, 1, 2)
            for tokens in (memory, position.expand(memory.shape[0], -1, -1))
        )
        if isinstance(self.memory_norm, _BatchNorm) and not self.memory_norm.training:
            return lambda choose: self.memory_norm(choose(content) + choose(place))
        normed = self.memory_norm(content + place)
        return lambda choose: choose(normed)

    def _row_keys(self, normed: Memory, first: int, last: int) -> Tensor:
        """Return the keys of the tokens of some rows of the map, (B, rows * W, C)."""
        above = max(first - 1, 0)
        around = normed(lambda feature_map: feature_map[:, :, above : last + 1])
        rows = self.memory_conv(around)[:, :, first - above :][:, :, : last - first]
        return self._project(to_tokens(rows))

    def _prototype_keys(self, normed: Memory, index: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return each head's channels of the keys of tokens ``index`` (B, heads, Q): (B, Q, C)."""
        places, inside = neighbourhood(index.flatten(1), shape)  # BxNx9
        image = torch.arange(len(index), device=index.device)[:, None]

        def choose(feature_map: Tensor) -> Tensor:
            chosen = to_tokens(feature_map)[image, places.flatten(1)]
            return chosen.transpose(1, 2).unsqueeze(-1)  # -> BxCxN9x1, a map for the norm

        around = normed(choose).squeeze(-1).transpose(1, 2).unflatten(1, (-1, 9))  # BxNx9xC
        taps = self.memory_conv.weight.flatten(1).T * inside.unsqueeze(-1)  # BxNx9xC
        tokens = self._project((around * taps).sum(2) + self.memory_conv.bias)
        tokens = tokens.unflatten(1, index.shape[1:]).unflatten(-1, (self.num_heads, -1))
        own = tokens.diagonal(dim1=1, dim2=3)  # BxHxQxHxD -> BxQxDxH
        return own.transpose(2, 3).flatten(2)

    def _project(self, tokens: Tensor) -> Tensor:
        return F.normalize(self.memory_proj(tokens), dim=-1)

    @torch.no_grad()
    def _choose_prototypes(
        self, q: Tensor, normed: Memory, shape: tuple[int, int], attn_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Choose the most similar token for each query among those that it may read (eq. 1-4).

        Returns:
            Index of the token for each head, (B, heads, Q), and the heads' channels of its key,
            (B, Q, C).
        """
        q = q.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # BxQxC -> BxHxQxD
        least = q.new_full((*q.shape[:3], 1), float("-inf"))
        best = (least, torch.zeros_like(least, dtype=torch.long), torch.zeros_like(q))
        for rows in stripes(q.shape[0], shape, q.device):
            first, last = (row * shape[1] for row in rows)
            mask = None if attn_mask is None else attn_mask[..., first:last]
            active = active_queries(mask, whole=last - first == shape[0] * shape[1])
            tokens = self._row_keys(normed, *rows).unflatten(-1, (self.num_heads, -1))
            tokens = tokens.transpose(1, 2)  # BxNxHxD -> BxHxNxD
            similarity = q[:, :, active] @ tokens.transpose(2, 3)  # BxHxQxN
            if mask is not None:
                # Adding is ten times faster than masked_fill.
                similarity += torch.where(mask[:, :, active], 0.0, float("-inf")).to(q.dtype)
            value, index = blockwise_max(similarity)
            better = value > best[0][:, :, active]
            found = (value, index + first, _gather_tokens(tokens, index))
            for kept, new in zip(best, found, strict=True):
                kept[:, :, active] = torch.where(better, new, kept[:, :, active])
        return best[1].squeeze(-1), best[2].transpose(1, 2).flatten(2)


def active_queries(attn_mask: Tensor | None, whole: bool) -> slice | Tensor:
    """Return the indices of the queries that read any token of (B, 1, Q, N).

    All queries are active for a ``whole`` map, in a traced or compiled graph, which will run on
    other images, and for a fake tensor, which has no values.
    """
    traced = torch.jit.is_tracing() or torch.compiler.is_compiling() or is_fake(attn_mask)
    if attn_mask is None or whole or traced:
        return slice(None)
    return attn_mask.flatten(1, 2).any(-1).any(0).nonzero().squeeze(1)


def _gather_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """Return the tokens (..., Q, D) with indices (..., Q, 1) among (..., N, D)."""
    return tokens.gather(-2, index.expand(*index.shape[:-1], tokens.shape[-1]))


def blockwise_max(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return maximum and index as ``x.max(-1, keepdim=True)`` does, in a third of the time.

    The index is searched in one block only: of all other blocks just the maximum is computed.
    """
    if torch.compiler.is_exporting() or x.shape[-1] % BLOCK:
        return x.max(-1, keepdim=True)
    blocks = x.unflatten(-1, (-1, BLOCK))
    block = blocks.amax(-1).argmax(-1, keepdim=True)
    value, index = _gather_tokens(blocks, block.unsqueeze(-1)).squeeze(-2).max(-1, keepdim=True)
    return value, index + BLOCK * block


def stripes(images: int, shape: tuple[int, int], device: torch.device) -> Iterator[tuple[int, int]]:
    """Return the (first, last) rows of each stripe of a map.

    On a GPU, and in an exported graph, one stripe has all rows.
    """
    height, width = shape
    if torch.compiler.is_exporting():  # the sizes may be free
        return iter([(0, height)])
    rows = max(1, TOKENS_PER_STRIPE // (images * width)) if device.type == "cpu" else height
    return ((first, min(first + rows, height)) for first in range(0, height, rows))


def neighbourhood(index: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the 3x3 tokens around each, (..., 9) row-major, and True for those on the map."""
    height, width = shape
    steps = torch.arange(-1, 2, device=index.device)
    y = index.div(width, rounding_mode="floor").unsqueeze(-1) + steps.repeat_interleave(3)
    x = index.remainder(width).unsqueeze(-1) + steps.repeat(3)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return y.clamp(0, height - 1) * width + x.clamp(0, width - 1), inside
