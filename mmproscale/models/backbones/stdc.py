"""STDC (Fan et al., CVPR 2021) with the map at stride 4, which mask features need."""

from __future__ import annotations

from mmseg.models.backbones import STDCNet as MMSegSTDCNet
from torch import Tensor


class STDCNet(MMSegSTDCNet):
    """mmseg's, its arguments and weights; it returns strides 4, 8, 16 and 32."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) to maps (B, C_i, H_i, W_i), high resolution first."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        if self.with_final_conv:
            maps[-1] = self.final_conv(maps[-1])
        return tuple(maps[self.num_shallow_features - 1 :])
