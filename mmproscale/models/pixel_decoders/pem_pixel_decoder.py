"""PEM's pixel decoder: a convolutional pyramid, lowest resolution first (section 3.3, eq. 8-10).

Input projections -> context-based self-modulation -> deformable aggregation -> mask projection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from mmcv.cnn import ConvModule, build_norm_layer
from mmengine.model import BaseModule, ModuleList, kaiming_init
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.models.pixel_decoders.pixel_decoder import build_part
from mmproscale.registry import MODELS


@MODELS.register_module()
class PEMPixelDecoder(BaseModule):
    """In the place of mmdet's ``MSDeformAttnPixelDecoder``, without attention.

    Args:
        in_channels: Channels of each backbone map, high resolution first.
        strides: Stride of each backbone map, in the same order.
        feat_channels: Channels C of the maps within and of those returned, if ``channels`` is None.
        out_channels: Channels of the mask features.
        num_outs: How many maps are returned: all but the finest.
        channels: Channels C, where a head of ours projects the maps to its own width.
        modulation: Arguments of CSM, or None for none.
        conv_cfg: Config of the 3x3 convolutions on summed maps; None for plain ones.
        norm_cfg: Normalisation everywhere.
        encoder: Not used; mmdet's head asks for its number of levels.

    Raises:
        InputError: Not one stride for each map; another number of ``num_outs``.
    """

    exits: tuple[int, ...] = ()  # there is nothing to leave early

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
        super().__init__(init_cfg=init_cfg)
        if len(in_channels) != len(strides) or num_outs != len(strides) - 1:
            raise InputError(
                f"pixel_decoder has in_channels={tuple(in_channels)}, strides={tuple(strides)} and "
                f"num_outs={num_outs}: give one stride for each map, and num_outs one less"
            )
        self.strides = tuple(strides)
        self.encoded_strides = tuple(sorted(strides, reverse=True))
        self.map_channels = channels = channels or feat_channels
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
        """Kaiming's initialisation; deformable convolutions begin without offsets."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                kaiming_init(module)
        for aggregation in self.aggregations:
            if hasattr(aggregation.conv, "init_weights"):  # mmcv's, which is no nn.Conv2d
                aggregation.conv.init_weights()

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Mask features and maps, as mmdet's pixel decoder returns them.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.

        Returns:
            Mask features (B, out_channels, H, W) at the finest stride, none below zero, and maps
            (B, C, H_i, W_i) of the others, low resolution first.

        Raises:
            InputError: A single image to train on, with batch norms that know of no other.
        """
        _, maps, embedding = self.embed(feats)
        return self.mask_feature(embedding), maps

    def embed(self, feats: Sequence[Tensor]) -> tuple[tuple[int, ...], list[Tensor], Tensor]:
        """No exits, the maps, and the embedding before the mask projection, which is not linear.

        Arguments and maps are those of :meth:`forward`.
        """
        self._check_batch(len(feats[0]))
        # On a CPU norms and 1x1 convolutions are faster so, and tokens keep channels together.
        feats = [feat.contiguous(memory_format=torch.channels_last) for feat in feats]
        backbone = dict(zip(self.strides, feats, strict=True))
        contextual = [
            modulate(project(backbone[stride]))
            for stride, project, modulate in zip(
                self.encoded_strides, self.input_convs, self.modulations, strict=True
            )
        ]
        coarsest = backbone[self.encoded_strides[0]]
        above = self.context_conv(coarsest.mean((2, 3), keepdim=True))
        maps = []
        for feature_map, finer, aggregate, upsample in zip(
            contextual, contextual[1:], self.aggregations, self.upsamplings, strict=False
        ):
            maps.append(aggregate(feature_map + above))
            above = upsample(maps[-1], finer.shape[-2:])
        return (), maps, contextual[-1] + above

    @property
    def least_images(self) -> int:
        """With how many at once this can train.

        The norm after a mean over the map has one value for each image and channel.
        """
        return 2 if isinstance(self.context_conv.norm, nn.BatchNorm2d) else 1

    def _check_batch(self, images: int) -> None:
        if self.context_conv.norm.training and images < self.least_images:
            raise InputError(
                "PEM's pixel decoder normalises a vector for each image over the batch, and the "
                "batch has one image: train with 2 or more at once, or set "
                "pixel_decoder.norm_cfg.type=GN pixel_decoder.norm_cfg.num_groups=8"
            )


class Upsampling(BaseModule):
    """Twice the size by a transposed 4x4 convolution, then normalisation and ReLU."""

    def __init__(self, channels: int, norm_cfg: dict) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
        self.norm = build_norm_layer(norm_cfg, channels)[1]
        self.activate = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, C, H, W) to (B, C, *size); an odd size takes a row or column less."""
        height, width = size
        return self.activate(self.norm(self.conv(x)[..., :height, :width]))
