"""Pixel decoder of PEM: a convolutional pyramid, lowest resolution first (section 3.3, eq. 8-10).

Input projections -> context-based self-modulation -> deformable aggregation -> mask projection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from mmcv.cnn import ConvModule, build_norm_layer
from mmcv.ops import ModulatedDeformConv2dPack
from mmengine.model import BaseModule, ModuleList, kaiming_init
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.models.pixel_decoders.pixel_decoder import Encoded, PixelDecoder
from mmproscale.ops.deformable_convolution import deformable_convolution
from mmproscale.registry import MODELS, build_part

GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "double_sigmoid": lambda context: context.sigmoid().sigmoid(),
}


@MODELS.register_module(name=["ContextModulation", "CSM"])
class ContextModulation(BaseModule):
    """Context-based self-modulation, CSM: x * gate(MLP(mean of x)) + x.

    Args:
        embed_dims: Channels C.
        gate: ``'sigmoid'``, as eq. 9 says, or ``'double_sigmoid'``, as in the authors' code, with
            which their weights were trained.
        norm_cfg: Normalisation between the MLP's layers.

    Raises:
        InputError: An unknown ``gate``.
    """

    def __init__(
        self,
        embed_dims: int = 128,
        gate: str = "sigmoid",
        norm_cfg: dict = dict(type="BN"),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if gate not in GATES:
            raise InputError(f"CSM gate={gate!r} must be one of {tuple(GATES)}")
        self.gate = gate
        self.squeeze = ConvModule(embed_dims, embed_dims // 2, 1, norm_cfg=norm_cfg)
        self.expand = nn.Conv2d(embed_dims // 2, embed_dims, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) for a map of the same shape (eq. 8 and 9)."""
        context = self.expand(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * GATES[self.gate](context) + x


@MODELS.register_module()
class DeformableConvolution(ModulatedDeformConv2dPack):
    """mmcv's ``DCNv2``, with its arguments and weights, that also runs without compiled ops.

    Its ``conv_offset`` gives 3 k k channels: (dy, dx) of each tap one after the other, then the
    taps' modulation before a sigmoid. It starts as a convolution with taps of half weight.

    Args:
        backend: Backend as in :func:`mmproscale.ops.deformable_convolution`; None for the first
            that is installed.
        arguments: mmcv's arguments of a convolution with odd size, stride 1, a padding that keeps
            the size, no dilation and no groups.

    Raises:
        InputError: Another size, stride, padding, dilation or number of groups.
    """

    def __init__(self, *args, backend: str | None = None, **arguments) -> None:
        super().__init__(*args, **arguments)
        size = self.kernel_size[0]
        given = (self.kernel_size, self.stride, self.padding, self.dilation)
        plain = ((size, size), (1, 1), (size // 2, size // 2), (1, 1))
        if size % 2 == 0 or given != plain or (self.groups, self.deform_groups) != (1, 1):
            raise InputError(
                f"DeformableConvolution has kernel_size, stride, padding, dilation {given} and "
                f"groups={self.groups}, deform_groups={self.deform_groups}: its kernel must be odd "
                "and keep the map's size, without dilation or groups"
            )
        self.backend = backend

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, in_channels, H, W) to (B, out_channels, H, W)."""
        taps = self.kernel_size[0] ** 2
        offsets, modulation = self.conv_offset(x).split([2 * taps, taps], dim=1)
        out = deformable_convolution(x, offsets, modulation.sigmoid(), self.weight, self.backend)
        return out if self.bias is None else out + self.bias[:, None, None].to(out.dtype)


class Upsampling(BaseModule):
    """Transposed 4x4 convolution to twice the size, then normalisation and ReLU."""

    def __init__(self, channels: int, norm_cfg: dict) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
        self.norm = build_norm_layer(norm_cfg, channels)[1]
        self.activate = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Enlarge (B, C, H, W) to (B, C, *size); for an odd size the last row or column is cut."""
        height, width = size
        return self.activate(self.norm(self.conv(x)[..., :height, :width]))


@MODELS.register_module()
class PEMPixelDecoder(PixelDecoder):
    """Pixel decoder without attention, to use instead of mmdet's ``MSDeformAttnPixelDecoder``.

    Args:
        in_channels: Channels of each backbone map, high resolution first.
        strides: Stride of each backbone map, in the same order.
        feat_channels: Channels C of all maps if ``channels`` is None.
        out_channels: Channels of the mask features.
        num_outs: Number of maps to return: all except the finest.
        channels: Channels C of all maps; our heads project the returned maps to their own width.
        modulation: Arguments of CSM; None without CSM.
        conv_cfg: Config of the 3x3 convolutions on summed maps; None for plain convolutions.
        norm_cfg: Normalisation of all convolutions.
        encoder: Not used; mmdet's head reads its number of levels.

    Raises:
        InputError: Not one stride for each map; ``num_outs`` is not one less.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (256, 512, 1024, 2048),
        strides: Sequence[int] = (4, 8, 16, 32),
        feat_channels: int = 256,
        out_channels: int = 256,
        num_outs: int = 3,
        channels: int | None = None,
        modulation: dict | None = dict(type="CSM"),
        conv_cfg: dict | None = dict(type="mmproscale.DeformableConvolution"),
        norm_cfg: dict = dict(type="BN"),
        encoder: Mapping | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        channels = channels or feat_channels
        super().__init__(strides, sorted(strides, reverse=True), channels, init_cfg=init_cfg)
        if len(in_channels) != len(strides) or num_outs != len(strides) - 1:
            raise InputError(
                f"pixel_decoder has in_channels={tuple(in_channels)}, strides={tuple(strides)} and "
                f"num_outs={num_outs}: give one stride for each map, and num_outs one less"
            )
        conv = partial(ConvModule, kernel_size=1, norm_cfg=norm_cfg)
        width = dict(zip(strides, in_channels, strict=True))
        self.input_convs = ModuleList(conv(width[s], channels) for s in self.encoded_strides)
        self.context_conv = conv(width[self.encoded_strides[0]], channels)
        self.modulations = ModuleList(
            build_part(dict(type="CSM") | dict(modulation), embed_dims=channels, norm_cfg=norm_cfg)
            if modulation
            else nn.Identity()
            for _ in self.encoded_strides
        )
        self.aggregations = ModuleList(
            ConvModule(channels, channels, 3, padding=1, conv_cfg=conv_cfg, norm_cfg=norm_cfg)
            for _ in self.encoded_strides[:-1]
        )
        self.upsamplings = ModuleList(
            Upsampling(channels, norm_cfg) for _ in self.encoded_strides[:-1]
        )
        self.mask_feature = conv(channels, out_channels)

    def init_weights(self) -> None:
        """Initialise with Kaiming's method; deformable convolutions start without offsets."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                kaiming_init(module)
        for aggregation in self.aggregations:
            if hasattr(aggregation.conv, "init_weights"):  # mmcv's DCNv2 is not an nn.Conv2d
                aggregation.conv.init_weights()

    def embed(self, feats: Sequence[Tensor]) -> Encoded:
        """Return maps and embedding (eq. 10), without exits; the mask projection is not linear.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.

        Raises:
            InputError: Training with a single image, for which a batch norm has only one value.
        """
        self._check_batch(feats[0].shape[0])
        # On a CPU norms and 1x1 convolutions are faster in channels_last, the layout of tokens.
        feats = [feat.contiguous(memory_format=torch.channels_last) for feat in feats]
        backbone = dict(zip(self.strides, feats, strict=True))
        contextual = [
            modulate(project(backbone[stride]))
            for stride, project, modulate in zip(
                self.encoded_strides, self.input_convs, self.modulations, strict=True
            )
        ]
        coarsest = backbone[self.encoded_strides[0]]
        coarser = self.context_conv(coarsest.mean((2, 3), keepdim=True))
        maps = []
        for feature_map, finer, aggregate, upsample in zip(
            contextual, contextual[1:], self.aggregations, self.upsamplings, strict=False
        ):
            maps.append(aggregate(feature_map + coarser))
            coarser = upsample(maps[-1], finer.shape[-2:])
        return Encoded((), maps, contextual[-1] + coarser)

    @property
    def least_images(self) -> int:
        """Smallest batch with which this can train.

        The norm after a mean over the map has one value for each image and channel.
        """
        return 2 if isinstance(self.context_conv.norm, nn.BatchNorm2d) else 1

    def _check_batch(self, images: int) -> None:
        if self.context_conv.norm.training and images < self.least_images:
            raise InputError(
                "PEM's pixel decoder normalises a vector of each image over the batch, and the "
                "batch has one image: train with at least 2 images in a batch, or set "
                "pixel_decoder.norm_cfg.type=GN pixel_decoder.norm_cfg.num_groups=8"
            )
