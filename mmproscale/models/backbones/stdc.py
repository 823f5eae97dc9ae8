"""STDC backbone (Fan et al., CVPR 2021) with the map at stride 4 that mask features need."""

from __future__ import annotations

from mmseg.models.backbones import STDCNet as MMSegSTDCNet
from torch import Tensor


class STDCNet(MMSegSTDCNet):
    """mmseg's backbone, with its arguments and weights, that returns strides 4, 8, 16 and 32."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return maps (B, C_i, H_i, W_i), high resolution first, of images (B, 3, H, W)."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        if self.with_final_conv:
            maps[-1] = self.final_conv(maps[-1])
        return tuple(maps[self.num_shallow_features - 1 :])
