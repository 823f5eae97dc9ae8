"""Swin for inference on a CPU: chunks of windows, from a block's input to its output.

Sources: Swin Transformer (Liu et al., ICCV 2021), shifted windows; mmdet's ``SwinTransformer``,
whose weights and results these are. mmdet pads, rolls and reorders the whole map, with a copy for
each step. Here the tokens of a few windows are read by index, pass the whole block while they are
in the processor's cache, and are written to their places. Maps are channels last, as tokens are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmdet.models.backbones.swin import SwinBlock
from torch import Tensor, nn

from mmproscale.ops.cpu_inference import feed_forward, linear, product

TOKENS_OF_A_THREAD = 2048
OTHER_REGION = -100.0
"""Mask of tokens that the shift made neighbours; mmdet's value."""


class Windows(NamedTuple):
    """Some windows of a map, N tokens in each.

    Attributes:
        tokens: Index of each window's tokens in the map (W * N,); 0 for padding.
        padding: Positions in ``tokens`` that are padding.
        kept: The other positions; None if there is no padding.
        mask: (W, 1, N, N), added to the attention; None where it is zero.
    """

    tokens: Tensor
    padding: Tensor
    kept: Tensor | None
    mask: Tensor | None


def swin(backbone: Any, x: Tensor) -> list[Tensor]:
    """Return what mmdet's ``SwinTransformer`` returns, maps (B, C_i, H_i, W_i), channels last.

    Args:
        backbone: The backbone, in evaluation mode.
        x: Images (B, 3, H, W) on a CPU, without gradients.
    """
    x, size = backbone.patch_embed(x.contiguous(memory_format=torch.channels_last))
    if backbone.use_abs_pos_embed:
        x = x + backbone.absolute_pos_embed
    maps = []
    for index, stage in enumerate(backbone.stages):
        for block in stage.blocks:
            is_stock = type(block).forward is SwinBlock.forward
            x = swin_block(block, x, size) if is_stock else block(x, size)
        if index in backbone.out_indices:
            tokens = getattr(backbone, f"norm{index}")(x)
            maps.append(tokens.unflatten(1, size).permute(0, 3, 1, 2))
        if stage.downsample:
            x, size = _merge_patches(stage.downsample, x, size)
    return maps


def swin_block(block: Any, x: Tensor, hw_shape: tuple[int, int]) -> Tensor:
    """Return what mmdet's ``SwinBlock`` returns, for tokens (B, H * W, C) of maps (H, W).

    Args:
        block: The block, in evaluation mode.
        x: Tokens on a CPU, without gradients.
        hw_shape: (H, W).
    """
    side, shift = block.attn.window_size, block.attn.shift_size
    most = TOKENS_OF_A_THREAD * max(2, torch.get_num_threads()) // side**2
    bias = _position_bias(block.attn.w_msa)
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    for image, result in zip(x, out, strict=True):
        for windows in _chunks(*hw_shape, side, shift, max(1, most)):
            tokens = image.index_select(0, windows.tokens)
            normed = block.norm1(tokens).index_fill_(0, windows.padding, 0)
            tokens = tokens + _attention(block.attn.w_msa, normed, bias, windows.mask)
            places = windows.tokens
            if windows.kept is not None:
                tokens, places = tokens[windows.kept], places[windows.kept]
            result.index_copy_(0, places, feed_forward(block.ffn, block.norm2(tokens), tokens))
    return out


def _position_bias(attention: Any) -> Tensor:
    """Return the bias (1, heads, N, N) of the positions of N tokens to each other."""
    index = attention.relative_position_index
    bias = attention.relative_position_bias_table[index.flatten()].unflatten(0, index.shape)
    return bias.permute(2, 0, 1).contiguous()[None]


def _attention(attention: Any, x: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
    """Return ``attention`` within windows of N tokens, for (W * N, C)."""
    heads, tokens = attention.num_heads, bias.shape[-1]
    qkv = linear(attention.qkv, x).view(-1, tokens, 3, heads, x.shape[-1] // heads)
    bias = (bias if mask is None else bias + mask).to(qkv.dtype)
    attend = _attend_by_head if qkv.dtype == torch.float32 else _attend
    return linear(attention.proj, attend(qkv, bias, attention.scale).reshape(x.shape))


def _attend_by_head(qkv: Tensor, bias: Tensor, scale: float) -> Tensor:
    """Return what :func:`_attend` returns, a third faster in fp32.

    PyTorch's fused kernel is made for long sequences, and windows are short.
    """
    q, k, v = qkv.unbind(2)
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    for head in range(qkv.shape[3]):
        queries, keys, values = (tokens[:, :, head] for tokens in (q, k, v))
        added = bias[:, head].expand(len(qkv), -1, -1)
        scores = torch.baddbmm(added, queries, keys.transpose(1, 2), alpha=scale)
        out[:, :, head] = scores.softmax(-1) @ values
    return out


def _attend(qkv: Tensor, bias: Tensor, scale: float) -> Tensor:
    """Return the attention (W, N, heads, D) of (W, N, 3, heads, D), with its scores in fp32.

    Args:
        qkv: Queries, keys and values of N tokens in each of W windows.
        bias: (1 or W, heads, N, N), added to the scores.
        scale: Factor of the products.
    """
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # WxNx3xHxD -> 3xWxHxNxD
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    return attended.transpose(1, 2)


def _merge_patches(
    merging: Any, x: Tensor, hw_shape: tuple[int, int]
) -> tuple[Tensor, tuple[int, int]]:
    """Return what mmdet's ``PatchMerging`` returns, for tokens (B, H * W, C) of maps (H, W).

    mmdet's order of the four tokens' channels is that of ``nn.Unfold``, channel by channel. Here
    the tokens stay whole, and the weights get their order.
    """
    sampler, padding = merging.sampler, merging.adap_padding
    sizes = (sampler.kernel_size, sampler.stride, sampler.dilation)
    is_stock = sizes == ((2, 2), (2, 2), (1, 1)) and type(merging.norm) is nn.LayerNorm
    if not is_stock or padding is None or padding.padding != "corner":
        return merging(x, hw_shape)
    (height, width), channels = hw_shape, x.shape[-1]
    x = F.pad(x.unflatten(1, hw_shape), (0, 0, 0, width % 2, 0, height % 2))
    x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # BxHxWxC -> BxH/2x2xW/2x2xC
    x = x.transpose(2, 3).flatten(3)  # BxH/2xW/2x4C
    size = x.shape[1], x.shape[2]
    weight, bias, matrix = (
        values.unflatten(-1, (channels, 4)).transpose(-1, -2).flatten(-2)
        for values in (merging.norm.weight, merging.norm.bias, merging.reduction.weight)
    )
    x = F.layer_norm(x.flatten(1, 2), weight.shape, weight, bias, merging.norm.eps)
    return product(x, matrix, merging.reduction.bias), size


@lru_cache(maxsize=32)
def _chunks(height: int, width: int, side: int, shift: int, most: int) -> list[Windows]:
    """Return all windows of a map, at most ``most`` together, those without mask first."""
    (rows, lower), (columns, right) = (
        _cut(length, side, shift) for length in (height, width)
    )  # axis of a window x position in it
    tokens = _in_windows(rows * width, columns)
    padding = _in_windows(1 * (rows >= height), 1 * (columns >= width)) > 0
    regions = _in_windows(3 * lower, right)
    mask = (regions[:, :, None] != regions[:, None]) * OTHER_REGION
    is_masked = mask.flatten(1).any(1)
    chunks = []
    for kind in (~is_masked, is_masked):
        for part in kind.nonzero()[:, 0].split(most):
            padded = padding[part].flatten()
            chunks.append(
                Windows(
                    tokens[part].flatten().masked_fill(padded, 0),
                    padded.nonzero()[:, 0],
                    (~padded).nonzero()[:, 0] if padded.any() else None,
                    mask[part][:, None] if kind is is_masked else None,
                )
            )
    return [chunk for chunk in chunks if len(chunk.tokens)]


def _cut(length: int, side: int, shift: int) -> tuple[Tensor, Tensor]:
    """Return place and region of each position of an axis that is padded, shifted and cut.

    Both are (windows, side). Regions are 0, 1 and 2: tokens of different ones are no neighbours.
    """
    padded = -(-length // side) * side
    places = torch.arange(padded, device="cpu")
    regions = 1 * (places >= padded - side) + 1 * (places >= padded - shift)
    regions = regions if shift else torch.zeros_like(places)
    return places.roll(-shift).view(-1, side), regions.view(-1, side)


def _in_windows(rows: Tensor, columns: Tensor) -> Tensor:
    """Return the sums (windows, N) of values of rows (Y, side) and columns (X, side)."""
    return (rows[:, None, :, None] + columns[None, :, None, :]).flatten(2).flatten(0, 1)
