"""Pixel decoder of RT-M2F: RT-DETR's hybrid encoder before Mask2Former's pixel embedding.

Input projections -> attention within stride 32 -> cross-scale fusion -> pixel embedding -> mask
projection. Sources: PRO-SCALE, supplement ('RT-M2F'); RT-DETR (Zhao et al., CVPR 2024) section 4.2
and figure 4; RepVGG (Ding et al., CVPR 2021). The papers do not give the fusion's details; with
RT-DETR's fusion at expansion 0.5 the cost is within 3.1% of the published cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_activation_layer
from mmdet.models.layers import DetrTransformerEncoderLayer
from mmengine.model import BaseModule, ModuleList, Sequential
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.models.layers.attention import Attention
from mmproscale.models.layers.sine_position import sine_position
from mmproscale.models.layers.token_layout import TokenLayout, to_tokens
from mmproscale.models.pixel_decoders.attention_pixel_decoder import AttentionPixelDecoder
from mmproscale.registry import MODELS

# Keys of deformable attention in stock configs that plain attention does not take.
DEFORMABLE_KEYS = ("num_levels", "num_points", "im2col_step", "norm_cfg", "value_proj_ratio")


class RepVGGBlock(BaseModule):
    """Sum of a 3x3 and a 1x1 convolution, each with batch norm, then an activation.

    In evaluation both are linear, so they are computed as one 3x3 convolution.

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
        """Return (B, C, H, W) for a map of the same shape."""
        if self.training:
            return self.activate(self.wide(x) + self.point(x))
        (wide, bias), (point, more_bias) = _folded(self.wide), _folded(self.point)
        return self.activate(F.conv2d(x, wide + F.pad(point, (1, 1, 1, 1)), bias + more_bias, 1, 1))


def _folded(branch: ConvModule) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution that includes its batch norm."""
    norm = branch.norm
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return branch.conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale


class CSPBlock(BaseModule):
    """RT-DETR's fusion block: the sum of two 1x1 branches, one of them with RepVGG blocks.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        blocks: Number of RepVGG blocks.
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
        """Return (B, out_channels, H, W) for a map (B, in_channels, H, W)."""
        return self.out(self.blocks(self.deep(x)) + self.short(x))


class CrossScaleFusion(BaseModule):
    """Top-down and bottom-up fusion of the maps of some levels; sizes and channels stay.

    Args:
        channels: Channels C of every map.
        num_levels: Number of maps.
        blocks: Number of RepVGG blocks in each CSP block.
        expansion: Channels of the RepVGG blocks, as a share of C.
        norm_cfg: Config of a batch norm.
        act_cfg: Activation of all convolutions.

    Raises:
        InputError: ``norm_cfg`` is not a batch norm; no blocks, or blocks without channels.
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
                f"fusion has blocks={blocks} and expansion={expansion}: it needs at least one "
                f"block, with at least one of {channels} channels"
            )
        steps = range(num_levels - 1)
        conv = partial(ConvModule, channels, channels, norm_cfg=norm_cfg, act_cfg=act_cfg)
        fuse = partial(CSPBlock, 2 * channels, channels, blocks, expansion, norm_cfg, act_cfg)
        self.lateral_convs = ModuleList(conv(1) for _ in steps)
        self.top_down = ModuleList(fuse() for _ in steps)
        self.down_convs = ModuleList(conv(3, stride=2, padding=1) for _ in steps)
        self.bottom_up = ModuleList(fuse() for _ in steps)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the fused maps for maps (B, C, H_i, W_i), low resolution first."""
        coarser, *finer = maps
        laterals = []
        for lateral, fuse, fine in zip(self.lateral_convs, self.top_down, finer, strict=True):
            laterals.append(lateral(coarser))
            # The finer map's size is not always twice this one's.
            enlarged = F.interpolate(laterals[-1], fine.shape[-2:], mode="nearest")
            coarser = fuse(torch.cat([enlarged, fine], dim=1))
        fused = [coarser]
        for down, fuse, lateral in zip(
            self.down_convs, self.bottom_up, laterals[::-1], strict=True
        ):
            fused.append(fuse(torch.cat([down(fused[-1]), lateral], dim=1)))
        return fused[::-1]


class AttentionLayer(DetrTransformerEncoderLayer):
    """mmdet's layer with PyTorch's fused attention."""

    def _init_layers(self) -> None:
        super()._init_layers()
        self.self_attn = Attention(**self.self_attn_cfg)

    def forward(self, tokens: Tensor, position: Tensor) -> Tensor:
        """Return tokens (B, N, C) at positions (1, N, C) after self-attention and feed-forward."""
        attended = self.self_attn(tokens, tokens, tokens, query_pos=position, key_pos=position)
        return self.norms[1](self.ffn(self.norms[0](attended)))


@MODELS.register_module()
class HybridPixelDecoder(AttentionPixelDecoder):
    """Pixel decoder with attention on the coarsest level and convolutions across levels.

    Args:
        encoder: ``dict(num_layers=..., layer_cfg=...)``. ``layer_cfg`` is the config of a
            deformable layer: ``self_attn_cfg.num_levels`` is the number of levels to fuse, from the
            coarsest on, and its other keys of sampling are not used. ``schedule`` and ``init_cfg``
            must be None.
        fusion: Arguments of :class:`CrossScaleFusion`.
        arguments: Arguments of :class:`AttentionPixelDecoder`.

    Raises:
        InputError: An ``encoder`` without layers, with a schedule, or with more levels than maps;
            an invalid ``fusion``.
    """

    def __init__(
        self,
        encoder: Mapping,
        fusion: Mapping | None = None,
        strides: Sequence[int] = (4, 8, 16, 32),
        feat_channels: int = 256,
        **arguments,
    ) -> None:
        num_layers, layer_cfg, num_levels = _parse_encoder(encoder, strides)
        super().__init__(
            sorted(strides, reverse=True)[:num_levels],
            exits=(num_layers,),
            strides=strides,
            feat_channels=feat_channels,
            **arguments,
        )
        self.encoder = ModuleList(AttentionLayer(**layer_cfg) for _ in range(num_layers))
        self.fusion = CrossScaleFusion(feat_channels, num_levels, **(fusion or {}))

    def init_weights(self) -> None:
        """Initialise as Mask2Former does, with Xavier for the attention layers."""
        super().init_weights()
        for parameter in self.encoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        self.fusion.init_weights()

    def encode_maps(
        self, projected: dict[int, Tensor], exits: Sequence[int]
    ) -> Iterator[tuple[int, list[Tensor]]]:
        """Yield (exit, maps) of the only exit, after the last layer."""
        if tuple(exits) != self.exits:
            raise InputError(f"exits={exits}: HybridPixelDecoder has only exit {self.exits[0]}")
        coarsest = self.encoded_strides[0]
        tokens = to_tokens(projected[coarsest])
        position = sine_position(self.positional_encoding, projected[coarsest])
        for layer in self.encoder:
            tokens = layer(tokens, position)
        attended = TokenLayout.from_maps(projected).to_map(tokens, coarsest)
        yield self.exits[0], self.fusion([attended, *list(projected.values())[1:]])


def _parse_encoder(encoder: Mapping, strides: Sequence[int]) -> tuple[int, dict, int]:
    """Return the number of layers, the config of a layer, and the number of levels."""
    unknown = set(encoder) - {"num_layers", "layer_cfg", "schedule", "init_cfg"}
    num_layers, layer_cfg = encoder.get("num_layers"), encoder.get("layer_cfg")
    unknown |= {key for key in ("schedule", "init_cfg") if encoder.get(key)}
    if unknown or not layer_cfg or type(num_layers) is not int:
        raise InputError(
            "pixel_decoder.encoder of a HybridPixelDecoder takes num_layers and layer_cfg, and "
            f"schedule=None, init_cfg=None; encoder={dict(encoder)}"
        )
    attention = layer_cfg["self_attn_cfg"]
    num_levels = attention["num_levels"]
    attention = {key: value for key, value in attention.items() if key not in DEFORMABLE_KEYS}
    if num_layers < 1 or not 2 <= num_levels <= len(strides):
        raise InputError(
            f"pixel_decoder.encoder has num_layers={num_layers} and num_levels={num_levels}: it "
            f"needs a layer, and 2 to {len(strides)} levels (strides {tuple(strides)})"
        )
    return num_layers, dict(layer_cfg, self_attn_cfg=attention), num_levels
