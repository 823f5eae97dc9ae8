"""PEM's cross-attention: each query reads a single token of its mask (PEM section 3.2, eq. 1-7).

A token is chosen, and nothing is learnt through the choice. So tokens are compared stripe by stripe
and not kept, each with the queries whose masks have a pixel there; where there is a gradient, the
chosen ones alone are computed once more, with theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmproscale.errors import InputError
from mmproscale.models.layers.token_layout import to_tokens
from mmproscale.models.query_decoders.masked_attention import (
    drop_of_query,
    drop_where_image_has_none,
)

# The axis of (B, Q, C) over which eq. 6 normalises.
AXES = {"channels": -1, "queries": 1}
EMPTY_MASKS = {"query": drop_of_query, "image": drop_where_image_has_none}
PROTOTYPES = ("masked", "any", "sum")
# Tokens compared together on a CPU: what is computed of them stays in its cache.
TOKENS_PER_STRIPE = 2048
# Tokens of which the largest is found first, and then where it is among them.
BLOCK = 64

# Takes what chooses tokens of a (B, C, H, W) map, and gives those of the normalised memory.
Memory = Callable[[Callable[[Tensor], Tensor]], Tensor]


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
            memory_pos: (1, H * W, C).
            shape: (H, W).
            reads: Booleans (B, 1, Q, H * W), true where a query may choose, which it must
                somewhere; None for everywhere.

        Returns:
            (B, Q, C).
        """
        q = F.normalize(self.query_proj(self.query_norm(queries + query_pos)), dim=-1)
        normed = self._memory(memory, memory_pos, shape)
        if self.prototypes == "sum":
            prototypes = self._rows(normed, 0, shape[0]).sum(1, keepdim=True)
        else:
            index, prototypes = self._choose(q, normed, shape, reads)
            if torch.is_grad_enabled():
                # Weights that autocast has just cast without gradients would serve here too, and
                # get none (torch before 2.10).
                torch.clear_autocast_cache()
                prototypes = self._tokens(normed, index, shape)
        strength = F.normalize(self.interaction(q * prototypes), dim=AXES[self.normalised_over])
        return queries + self.out_proj(self.alpha * strength + prototypes)

    def _memory(self, memory: Tensor, position: Tensor, shape: tuple[int, int]) -> Memory:
        """The normalised memory, of which only what is asked for is computed if it can be."""
        given, place = (  # BxNxC -> BxCxHxW
            tokens.unflatten(1, shape).permute(0, 3, 1, 2)
            for tokens in (memory, position.expand(len(memory), -1, -1))
        )
        if isinstance(self.memory_norm, _BatchNorm) and not self.memory_norm.training:
            return lambda choose: self.memory_norm(choose(given) + choose(place))
        normed = self.memory_norm(given + place)
        return lambda choose: choose(normed)

    def _rows(self, normed: Memory, first: int, last: int) -> Tensor:
        """Tokens of rows of the map, as queries are compared with them, (B, rows * W, C)."""
        above = max(first - 1, 0)
        around = normed(lambda feature_map: feature_map[:, :, above : last + 1])
        rows = self.memory_conv(around)[:, :, first - above :][:, :, : last - first]
        return self._project(to_tokens(rows))

    def _tokens(self, normed: Memory, index: Tensor, shape: tuple[int, int]) -> Tensor:
        """Each head's channels of the tokens ``index`` (B, heads, Q), as (B, Q, C)."""
        places, inside = neighbours(index.flatten(1), shape)  # BxNx9
        image = torch.arange(len(index), device=index.device)[:, None]

        def choose(feature_map: Tensor) -> Tensor:
            chosen = to_tokens(feature_map)[image, places.flatten(1)]
            return chosen.transpose(1, 2).unsqueeze(-1)  # -> BxCxN9x1, a map for its norm

        around = normed(choose).squeeze(-1).transpose(1, 2).unflatten(1, (-1, 9))  # BxNx9xC
        taps = self.memory_conv.weight.flatten(1).T * inside.unsqueeze(-1)  # BxNx9xC
        tokens = self._project((around * taps).sum(2) + self.memory_conv.bias)
        tokens = tokens.unflatten(1, index.shape[1:]).unflatten(-1, (self.num_heads, -1))
        own = tokens.diagonal(dim1=1, dim2=3)  # BxHxQxHxD -> BxQxDxH
        return own.transpose(2, 3).flatten(2)

    def _project(self, tokens: Tensor) -> Tensor:
        return F.normalize(self.memory_proj(tokens), dim=-1)

    @torch.no_grad()
    def _choose(
        self, q: Tensor, normed: Memory, shape: tuple[int, int], reads: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The token most like each query, of those that it may choose (eq. 1-4).

        Returns:
            Its number for each head, (B, heads, Q), and what heads have of it, (B, Q, C).
        """
        q = q.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # BxQxC -> BxHxQxD
        none = q.new_full((*q.shape[:3], 1), float("-inf"))
        best = (none, torch.zeros_like(none, dtype=torch.long), torch.zeros_like(q))
        for rows in stripes(len(q), shape, q.device):
            first, last = (row * shape[1] for row in rows)
            own = None if reads is None else reads[..., first:last]
            who = readers(own, whole=last - first == shape[0] * shape[1])
            tokens = self._rows(normed, *rows).unflatten(-1, (self.num_heads, -1))
            tokens = tokens.transpose(1, 2)  # BxNxHxD -> BxHxNxD
            similarity = q[:, :, who] @ tokens.transpose(2, 3)  # BxHxQxN
            if own is not None:
                # Adding is ten times faster than filling.
                similarity += torch.where(own[:, :, who], 0.0, float("-inf")).to(q.dtype)
            value, index = largest(similarity)
            better = value > best[0][:, :, who]
            for kept, new in zip(best, (value, index + first, _take(tokens, index)), strict=True):
                kept[:, :, who] = torch.where(better, new, kept[:, :, who])
        return best[1].squeeze(-1), best[2].transpose(1, 2).flatten(2)


def readers(reads: Tensor | None, whole: bool) -> slice | Tensor:
    """Numbers of the queries that read some token of (B, 1, Q, N); of a ``whole`` map's all do.

    Graphs are made of one image and run on others, so there all are compared with everything.
    """
    if reads is None or whole or torch.jit.is_tracing() or torch.compiler.is_compiling():
        return slice(None)
    return reads.flatten(1, 2).any(-1).any(0).nonzero().squeeze(1)


def _take(tokens: Tensor, index: Tensor) -> Tensor:
    """The tokens (..., N, D) of numbers (..., Q, 1), as (..., Q, D)."""
    return tokens.gather(-2, index.expand(*index.shape[:-1], tokens.shape[-1]))


def largest(x: Tensor) -> tuple[Tensor, Tensor]:
    """``x.max(-1, keepdim=True)``: the largest and where it is, in a third of the time.

    A place is looked for in one block alone: for all others their maximum is enough.
    """
    if x.shape[-1] % BLOCK:
        return x.max(-1, keepdim=True)
    blocks = x.unflatten(-1, (-1, BLOCK))
    block = blocks.amax(-1).argmax(-1, keepdim=True)
    value, index = _take(blocks, block.unsqueeze(-1)).squeeze(-2).max(-1, keepdim=True)
    return value, index + BLOCK * block


def stripes(images: int, shape: tuple[int, int], device: torch.device) -> Iterator[tuple[int, int]]:
    """(first, last) rows of a map that are compared together; on a GPU all."""
    height, width = shape
    rows = max(1, TOKENS_PER_STRIPE // (images * width)) if device.type == "cpu" else height
    return ((first, min(first + rows, height)) for first in range(0, height, rows))


def neighbours(index: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The 3x3 tokens around each, (..., 9), row-major, and which of them are on the map."""
    height, width = shape
    steps = torch.arange(-1, 2, device=index.device)
    y = index.div(width, rounding_mode="floor").unsqueeze(-1) + steps.repeat_interleave(3)
    x = index.remainder(width).unsqueeze(-1) + steps.repeat(3)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return y.clamp(0, height - 1) * width + x.clamp(0, width - 1), inside
