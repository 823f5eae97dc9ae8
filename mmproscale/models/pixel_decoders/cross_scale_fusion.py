"""RT-DETR's convolutional cross-scale fusion: top-down, then bottom-up, through CSP blocks.

Source: RT-DETR (Zhao et al., CVPR 2024), section 4.2, figure 4; its blocks are RepVGG's (Ding et
al., CVPR 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_activation_layer
from mmengine.model import BaseModule, ModuleList, Sequential
from torch import Tensor, nn

from mmproscale.errors import InputError


class RepVGGBlock(BaseModule):
    """A 3x3 and a 1x1 convolution side by side, each with batch norm; (B, C, H, W) to the same.

    In evaluation the two are one 3x3 convolution: both are linear there.

    Args:
        channels: Channels C.
    """

    def __init__(self, channels: int, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        branch = partial(ConvModule, channels, channels, norm_cfg=norm_cfg, act_cfg=None)
        self.wide, self.point = branch(3, padding=1), branch(1)
        if not isinstance(self.wide.norm, nn.modules.batchnorm._BatchNorm):
            raise InputError(f"fusion.norm_cfg={norm_cfg} must be a batch norm: RepVGG folds it")
        self.activate = build_activation_layer(act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        if self.training:
            return self.activate(self.wide(x) + self.point(x))
        (wide, bias), (point, more_bias) = _folded(self.wide), _folded(self.point)
        return self.activate(F.conv2d(x, wide + F.pad(point, (1, 1, 1, 1)), bias + more_bias, 1, 1))


def _folded(branch: ConvModule) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution and its batch norm in one."""
    norm = branch.norm
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return branch.conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale


class CSPBlock(BaseModule):
    """Two 1x1 branches, one through RepVGG blocks, summed (RT-DETR's fusion block).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        blocks: RepVGG blocks in a row.
        expansion: Channels of the branches, as a share of ``out_channels``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blocks: int,
        expansion: float,
        norm_cfg: dict,
        act_cfg: dict,
    ) -> None:
        super().__init__()
        hidden = int(out_channels * expansion)
        conv = partial(ConvModule, kernel_size=1, norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.deep, self.short = conv(in_channels, hidden), conv(in_channels, hidden)
        self.blocks = Sequential(*(RepVGGBlock(hidden, norm_cfg, act_cfg) for _ in range(blocks)))
        self.out = conv(hidden, out_channels) if hidden != out_channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W)."""
        return self.out(self.blocks(self.deep(x)) + self.short(x))


class CrossScaleFusion(BaseModule):
    """Maps of some levels, each after it has met all others; sizes and channels stay.

    Args:
        channels: Channels C of every map.
        num_levels: How many maps.
        blocks: RepVGG blocks in each CSP block.
        expansion: Their channels, as a share of C.
        norm_cfg: A batch norm.
        act_cfg: Activation of all convolutions.

    Raises:
        InputError: ``norm_cfg`` is no batch norm; no blocks, or blocks without channels.
    """

    def __init__(
        self,
        channels: int,
        num_levels: int,
        blocks: int = 3,
        expansion: float = 0.5,
        norm_cfg: dict = dict(type="BN"),
        act_cfg: dict = dict(type="SiLU"),
    ) -> None:
        super().__init__()
        if type(blocks) is not int or blocks < 1 or int(channels * expansion) < 1:
            raise InputError(
                f"fusion has blocks={blocks} and expansion={expansion}: at least one block, of at "
                f"least one of {channels} channels"
            )
        steps = range(num_levels - 1)
        conv = partial(ConvModule, channels, channels, norm_cfg=norm_cfg, act_cfg=act_cfg)
        fuse = partial(CSPBlock, 2 * channels, channels, blocks, expansion, norm_cfg, act_cfg)
        self.lateral_convs = ModuleList(conv(1) for _ in steps)
        self.top_down = ModuleList(fuse() for _ in steps)
        self.down_convs = ModuleList(conv(3, stride=2, padding=1) for _ in steps)
        self.bottom_up = ModuleList(fuse() for _ in steps)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (B, C, H_i, W_i), low resolution first, to the same."""
        coarser, *finer = maps
        laterals = []
        for lateral, fuse, fine in zip(self.lateral_convs, self.top_down, finer, strict=True):
            laterals.append(lateral(coarser))
            # To the finer map's size, which need not be twice this one's.
            enlarged = F.interpolate(laterals[-1], fine.shape[-2:], mode="nearest")
            coarser = fuse(torch.cat([enlarged, fine], dim=1))
        fused = [coarser]
        for down, fuse, lateral in zip(
            self.down_convs, self.bottom_up, laterals[::-1], strict=True
        ):
            fused.append(fuse(torch.cat([down(fused[-1]), lateral], dim=1)))
        return fused[::-1]
