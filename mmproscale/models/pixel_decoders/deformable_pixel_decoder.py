"""Pixel decoder with a scheduled encoder: Mask2Former's, PRO-SCALE's, Lite-M2F's.

Input projections -> token recalibration -> scheduled encoder -> pixel embedding -> mask projection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from mmengine.model import normal_init
from torch import Tensor, nn

from mmproscale.models.encoders.exit_gate import EarlyExits, mean_over_tokens
from mmproscale.models.encoders.scheduled_encoder import Levels, ScheduledEncoder, build_encoder
from mmproscale.models.encoders.token_recalibration import build_recalibration, level_gates
from mmproscale.models.layers.sine_position import sine_position
from mmproscale.models.layers.token_layout import TokenLayout, to_tokens
from mmproscale.models.pixel_decoders.attention_pixel_decoder import AttentionPixelDecoder
from mmproscale.registry import MODELS


@MODELS.register_module()
class DeformablePixelDecoder(EarlyExits, AttentionPixelDecoder):
    """Pixel decoder with deformable attention over the coarser levels in a schedule's order.

    Args:
        encoder: ``dict(schedule=..., layer_cfg=...)``; ``num_layers`` instead of ``schedule`` gives
            Mask2Former's schedule with that number of layers.
        recalibration: Config of TRC; None without TRC.
        exits: Numbers of layers after which an image may leave the encoder; by default those of the
            schedule, with a gate from two layers on.
        exit_gate: Config of the gate that chooses each image's exit in evaluation,
            ``dict(type='ExitGate')``; None for the last exit.
        exit: Exit of every image in evaluation; it overrides the gate.
        arguments: Arguments of :class:`AttentionPixelDecoder`.

    Raises:
        InputError: An invalid schedule, or one with a level that has no map; both ``num_layers``
            and ``schedule``; not one stride for each map; an exit that the schedule does not have;
            a gate with a single exit.
    """

    encoder: ScheduledEncoder

    def __init__(
        self,
        encoder: dict | None = None,
        recalibration: dict | None = None,
        strides: Sequence[int] = (4, 8, 16, 32),
        feat_channels: int = 256,
        exits: Sequence[int] | None = None,
        exit_gate: dict | None = None,
        exit: int | None = None,
        **arguments,
    ) -> None:
        built = build_encoder(encoder, "pixel_decoder.encoder", strides)
        super().__init__(
            built.schedule.strides, (), strides=strides, feat_channels=feat_channels, **arguments
        )
        self.encoder = built
        self.level_encoding = nn.Embedding(len(self.encoded_strides), feat_channels)
        self.recalibration = build_recalibration(recalibration, built.schedule, feat_channels)
        self.set_exits(exits, exit_gate, exit, feat_channels)

    def init_weights(self) -> None:
        """Initialise as Mask2Former does."""
        super().init_weights()
        normal_init(self.level_encoding, mean=0, std=1)
        self.encoder.init_weights()
        if self.recalibration:
            self.recalibration.init_weights()
        if self.exit_gate:
            self.exit_gate.init_weights()

    def gate_input(self, feats: Sequence[Tensor]) -> Tensor:
        """Return the gate's input (B, C): the mean of each image's coarsest projected tokens.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.
        """
        coarsest = feats[self.strides.index(self.encoded_strides[0])]
        coarsest = coarsest.contiguous(memory_format=torch.channels_last)
        return mean_over_tokens(self.input_convs[0](coarsest))

    def encode_maps(
        self, projected: dict[int, Tensor], exits: Sequence[int]
    ) -> Iterator[tuple[int, list[Tensor]]]:
        """Yield (exit, encoded maps) as :meth:`AttentionPixelDecoder.encode_maps`."""
        exits = self.encoder.schedule.check_exits(exits)
        tokens, pos, layout, gates = self.encoder_inputs(projected)
        for exit_, encoded in self.encoder.encode(tokens, pos, layout, gates, exits):
            yield exit_, [layout.to_map(encoded[stride], stride) for stride in self.encoded_strides]

    def encode_images(self, projected: dict[int, Tensor]) -> tuple[tuple[int, ...], list[Tensor]]:
        """Return exits and maps; in evaluation each image takes its own exit."""
        coarsest = projected[self.encoded_strides[0]]
        exits = self.image_exits(len(coarsest), partial(mean_over_tokens, coarsest))
        tokens, pos, layout, gates = self.encoder_inputs(projected)
        encoded = self.encoder.encode_images(tokens, pos, layout, gates, exits)
        return exits, [layout.to_map(encoded[stride], stride) for stride in self.encoded_strides]

    def encoder_inputs(
        self, projected: dict[int, Tensor]
    ) -> tuple[Levels, Levels, TokenLayout, Levels]:
        """Return the encoder's inputs: tokens, positions, layout and TRC's gates."""
        layout = TokenLayout.from_maps(projected)
        tokens = {stride: to_tokens(m) for stride, m in projected.items()}
        finest = projected[self.encoded_strides[-1]]
        gates = level_gates(self.recalibration, finest, self.encoder.schedule, layout)
        return tokens, self._positions(projected), layout, gates

    def _positions(self, projected: dict[int, Tensor]) -> dict[int, Tensor]:
        """Return sine position plus level embedding of each level, stride -> (1, N, C)."""
        return {
            stride: sine_position(self.positional_encoding, feature_map) + level
            for (stride, feature_map), level in zip(
                projected.items(), self.level_encoding.weight, strict=True
            )
        }


@MODELS.register_module(name="ProScalePixelDecoder")
def pro_scale_pixel_decoder(
    encoder: dict,
    recalibration: dict | None = dict(type="TRC"),
    pixel_embedding: dict | None = dict(type="LPE"),
    **arguments,
) -> DeformablePixelDecoder:
    """Build a :class:`DeformablePixelDecoder` with PRO-SCALE's defaults: (3, 3, 3), TRC, LPE."""
    encoder = dict(schedule=dict(type="pro_scale", repeats=(3, 3, 3))) | dict(encoder)
    # A dict without type, such as dict(eps=0.5), changes only these arguments of TRC.
    return DeformablePixelDecoder(
        encoder=encoder,
        recalibration=recalibration and dict(type="TRC") | dict(recalibration),
        pixel_embedding=pixel_embedding and dict(type="LPE") | dict(pixel_embedding),
        **arguments,
    )
