"""Sine position encoding of maps without padding."""

from __future__ import annotations

import torch
from mmdet.models.layers import SinePositionalEncoding
from torch import Tensor


def sine_position(encoding: SinePositionalEncoding, feature_map: Tensor) -> Tensor:
    """Return the position encoding of a map's tokens, (1, N, C), in the map's dtype.

    Half of the channels depend only on the row and half only on the column. So one column and one
    row are encoded: H + W places instead of H * W.

    Args:
        encoding: mmdet's encoding.
        feature_map: (B, C, H, W).
    """
    height, width = feature_map.shape[-2:]
    column, row = (
        encoding(feature_map.new_zeros((1, *shape), dtype=torch.bool)).to(feature_map.dtype)
        for shape in ((height, 1), (1, width))
    )  # 1xCxHx1 and 1xCx1xW
    y_channels = column[:, : encoding.num_feats].expand(-1, -1, -1, width)
    x_channels = row[:, encoding.num_feats :].expand(-1, -1, height, -1)
    parts = [part.permute(0, 2, 3, 1) for part in (y_channels, x_channels)]  # -> 1xHxWxC/2
    return torch.cat(parts, dim=-1).flatten(1, 2)
