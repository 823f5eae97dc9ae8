"""Where tokens of a map without padding lie, as sines and cosines."""

from __future__ import annotations

import torch
from mmdet.models.layers import SinePositionalEncoding
from torch import Tensor


def sine_position(encoding: SinePositionalEncoding, feature_map: Tensor) -> Tensor:
    """What ``encoding`` says of a map's tokens, (1, N, C), in the map's dtype.

    Half of the channels hang on the row alone and half on the column, so one column and one row say
    it all: H + W places in the stead of H * W.

    Args:
        encoding: mmdet's.
        feature_map: (B, C, H, W).
    """
    height, width = feature_map.shape[-2:]
    column, row = (
        encoding(feature_map.new_zeros((1, *shape), dtype=torch.bool)).to(feature_map.dtype)
        for shape in ((height, 1), (1, width))
    )  # 1xCxHx1 and 1xCx1xW
    of_row = column[:, : encoding.num_feats].expand(-1, -1, -1, width)
    of_column = row[:, encoding.num_feats :].expand(-1, -1, height, -1)
    parts = [part.permute(0, 2, 3, 1) for part in (of_row, of_column)]  # 1xC/2xHxW -> 1xHxWxC/2
    return torch.cat(parts, dim=-1).flatten(1, 2)
