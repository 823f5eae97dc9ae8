"""The modulated deformable convolution that PEM aggregates features by (section 3.3, eq. 10)."""

from __future__ import annotations

from mmcv.ops import ModulatedDeformConv2dPack
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.ops.deformable_convolution import deformable_convolution
from mmproscale.registry import MODELS


@MODELS.register_module()
class DeformableConvolution(ModulatedDeformConv2dPack):
    """mmcv's ``DCNv2``, its arguments and weights, by whatever is there to compute it.

    Its ``conv_offset`` gives 3 k k channels: (dy, dx) of each tap one after the other, then the
    taps' modulation before a sigmoid. It begins as a convolution with taps of half weight.

    Args:
        backend: What computes it, as :func:`mmproscale.ops.deformable_convolution`'s; None for the
            first that is there.
        arguments: mmcv's, as of a convolution: of odd size, stride 1, a padding that keeps the
            size, no dilation, no groups.

    Raises:
        InputError: Another stride, padding, dilation or number of groups.
    """

    def __init__(self, *args, backend: str | None = None, **arguments) -> None:
        super().__init__(*args, **arguments)
        size = self.kernel_size[0]
        given = (self.kernel_size, self.stride, self.padding, self.dilation)
        plain = ((size, size), (1, 1), (size // 2, size // 2), (1, 1))
        if size % 2 == 0 or given != plain or (self.groups, self.deform_groups) != (1, 1):
            raise InputError(
                f"DeformableConvolution has kernel_size, stride, padding, dilation {given} and "
                f"groups={self.groups}, deform_groups={self.deform_groups}: it is of odd size, and "
                "keeps the map's, without dilation or groups"
            )
        self.backend = backend

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W)."""
        taps = self.kernel_size[0] ** 2
        offsets, modulation = self.conv_offset(x).split([2 * taps, taps], dim=1)
        out = deformable_convolution(x, offsets, modulation.sigmoid(), self.weight, self.backend)
        return out if self.bias is None else out + self.bias[:, None, None]
