"""RT-M2F's pixel decoder: RT-DETR's hybrid encoder before Mask2Former's pixel embedding.

Input projections -> attention within stride 32 -> cross-scale fusion -> pixel embedding -> mask
projection. Sources: PRO-SCALE, supplement ('RT-M2F'); RT-DETR section 4.2. The papers leave the
fusion's details open: with RT-DETR's at expansion 0.5 the cost comes within 3.1% of the published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mmdet.models.layers import DetrTransformerEncoderLayer
from mmengine.model import ModuleList
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.models.layers.sine_position import sine_position
from mmproscale.models.layers.token_layout import TokenLayout, to_tokens
from mmproscale.models.pixel_decoders.cross_scale_fusion import CrossScaleFusion
from mmproscale.models.pixel_decoders.pixel_decoder import PixelDecoder
from mmproscale.models.query_decoders.masked_attention import Attention
from mmproscale.registry import MODELS

# What stock configs say of deformable attention, and plain attention does not take.
DEFORMABLE = ("num_levels", "num_points", "im2col_step", "norm_cfg", "value_proj_ratio")


@MODELS.register_module()
class HybridPixelDecoder(PixelDecoder):
    """Plain attention on the coarsest level, convolutions across levels.

    Args:
        encoder: ``dict(num_layers=..., layer_cfg=...)``. ``layer_cfg`` is that of a deformable
            layer: of ``self_attn_cfg``, ``num_levels`` says how many levels are fused, the coarsest
            ones, and what else is of sampling is not used. ``schedule`` and ``init_cfg`` must be
            None.
        fusion: Arguments of :class:`CrossScaleFusion`.
        arguments: :class:`PixelDecoder`'s.

    Raises:
        InputError: An ``encoder`` without layers, with a schedule, or with more levels than maps;
            a ``fusion`` that is no batch norm's.
    """

    def __init__(
        self,
        encoder: Mapping,
        fusion: Mapping | None = None,
        strides: Sequence[int] = (4, 8, 16, 32),
        feat_channels: int = 256,
        **arguments,
    ) -> None:
        num_layers, layer_cfg, num_levels = _read(encoder, strides)
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
        """Mask2Former's initialisation, Xavier for the attention layers."""
        super().init_weights()
        for parameter in self.encoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        self.fusion.init_weights()

    def encode_maps(
        self, projected: dict[int, Tensor], exits: Sequence[int]
    ) -> Iterator[tuple[int, list[Tensor]]]:
        """As :meth:`PixelDecoder.encode_maps`; there is one exit, the last layer."""
        if tuple(exits) != self.exits:
            raise InputError(f"HybridPixelDecoder has no exit but {self.exits[0]}, not {exits}")
        coarsest = self.encoded_strides[0]
        tokens = to_tokens(projected[coarsest])
        position = sine_position(self.positional_encoding, projected[coarsest])
        for layer in self.encoder:
            tokens = layer(tokens, position)
        attended = TokenLayout.of(projected).to_map(tokens, coarsest)
        yield self.exits[0], self.fusion([attended, *list(projected.values())[1:]])


class AttentionLayer(DetrTransformerEncoderLayer):
    """mmdet's layer, by PyTorch's fused attention."""

    def _init_layers(self) -> None:
        super()._init_layers()
        self.self_attn = Attention(**self.self_attn_cfg)

    def forward(self, tokens: Tensor, position: Tensor) -> Tensor:
        """Tokens (B, N, C) at positions (1, N, C), after attention among themselves."""
        attended = self.self_attn(tokens, tokens, tokens, query_pos=position, key_pos=position)
        return self.norms[1](self.ffn(self.norms[0](attended)))


def _read(encoder: Mapping, strides: Sequence[int]) -> tuple[int, dict, int]:
    """Number of layers, a layer's config, and number of levels."""
    unknown = set(encoder) - {"num_layers", "layer_cfg", "schedule", "init_cfg"}
    num_layers, layer_cfg = encoder.get("num_layers"), encoder.get("layer_cfg")
    unknown |= {key for key in ("schedule", "init_cfg") if encoder.get(key)}
    if unknown or not layer_cfg or type(num_layers) is not int:
        raise InputError(
            "pixel_decoder.encoder of a HybridPixelDecoder takes num_layers and layer_cfg, and "
            f"schedule=None, init_cfg=None; it is {dict(encoder)}"
        )
    given = layer_cfg["self_attn_cfg"]
    num_levels = given["num_levels"]
    attention = {key: value for key, value in given.items() if key not in DEFORMABLE}
    if num_layers < 1 or not 2 <= num_levels <= len(strides):
        raise InputError(
            f"pixel_decoder.encoder has num_layers={num_layers} and num_levels={num_levels}: it "
            f"needs a layer, and 2 to {len(strides)} levels (strides {tuple(strides)})"
        )
    return num_layers, dict(layer_cfg, self_attn_cfg=attention), num_levels
