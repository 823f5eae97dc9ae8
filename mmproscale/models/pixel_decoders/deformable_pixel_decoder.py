"""The pixel decoder around a scheduled encoder: Mask2Former's, PRO-SCALE's, Lite-M2F's.

Input projections -> token recalibration -> scheduled encoder -> pixel embedding -> mask projection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from mmengine.model import normal_init
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.models.encoders.exit_gate import image_exits, pool
from mmproscale.models.encoders.schedule import Schedule
from mmproscale.models.encoders.scheduled_encoder import Levels, build_encoder
from mmproscale.models.layers.sine_position import sine_position
from mmproscale.models.layers.token_layout import TokenLayout, to_tokens
from mmproscale.models.pixel_decoders.pixel_decoder import PixelDecoder, build_part
from mmproscale.registry import MODELS


@MODELS.register_module()
class DeformablePixelDecoder(PixelDecoder):
    """Deformable attention over the coarser levels, as a schedule orders it.

    Args:
        encoder: ``dict(schedule=..., layer_cfg=...)``; ``num_layers`` in the schedule's place is
            Mask2Former's schedule of so many layers.
        recalibration: Config of TRC, or None for none.
        exits: Numbers of layers after which an image may leave the encoder, of those that the
            schedule allows: by default all, and from two layers on where a gate chooses.
        exit_gate: Config of the gate that chooses each image's exit when the model is evaluated,
            ``dict(type='ExitGate')``; None for the last exit.
        exit: The exit of every image when the model is evaluated, whatever a gate would choose.
        arguments: :class:`PixelDecoder`'s.

    Raises:
        InputError: A schedule that can't be or that names a level without a map; ``num_layers``
            beside ``schedule``; not one stride for each map; an exit that the schedule does not
            have; a gate without two exits to choose from.
    """

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
        schedule = built.schedule
        super().__init__(
            schedule.strides,
            choose_exits(schedule, exits, gated=bool(exit_gate)),
            strides=strides,
            feat_channels=feat_channels,
            **arguments,
        )
        self.encoder = built
        self.level_encoding = nn.Embedding(len(self.encoded_strides), feat_channels)
        if recalibration and len(self.encoded_strides) == 1:
            raise InputError(
                f"schedule {schedule} has one level, and TRC recalibrates coarser ones: set "
                "recalibration=None"
            )
        self.recalibration = recalibration and build_part(recalibration, embed_dims=feat_channels)
        self.exit = None if exit is None else schedule.check_exits((exit,))[0]
        self.exit_gate = None
        if exit_gate:
            self.exit_gate = build_part(
                exit_gate, embed_dims=feat_channels, num_exits=len(self.exits)
            )

    def init_weights(self) -> None:
        """Mask2Former's initialisation."""
        super().init_weights()
        normal_init(self.level_encoding, mean=0, std=1)
        self.encoder.init_weights()
        if self.recalibration:
            self.recalibration.init_weights()
        if self.exit_gate:
            self.exit_gate.init_weights()

    def gate_input(self, feats: Sequence[Tensor]) -> Tensor:
        """What a gate sees of each image, (B, C): the mean of its coarsest projected tokens.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.
        """
        coarsest = feats[self.strides.index(self.encoded_strides[0])]
        coarsest = coarsest.contiguous(memory_format=torch.channels_last)
        return pool(self.input_convs[0](coarsest))

    def encode_maps(
        self, projected: dict[int, Tensor], exits: Sequence[int]
    ) -> Iterator[tuple[int, list[Tensor]]]:
        """As :meth:`PixelDecoder.encode_maps`."""
        exits = self.encoder.schedule.check_exits(exits)
        tokens, pos, layout, gates = self._tokens(projected)
        for exit_, encoded in self.encoder.encode(tokens, pos, layout, gates, exits):
            yield exit_, [layout.to_map(encoded[stride], stride) for stride in self.encoded_strides]

    def encode_images(self, projected: dict[int, Tensor]) -> tuple[tuple[int, ...], list[Tensor]]:
        """As :meth:`PixelDecoder.encode_images`; in evaluation each image takes its own exit."""
        exits = self._image_exits(projected[self.encoded_strides[0]])
        tokens, pos, layout, gates = self._tokens(projected)
        encoded = self.encoder.encode_images(tokens, pos, layout, gates, exits)
        return exits, [layout.to_map(encoded[stride], stride) for stride in self.encoded_strides]

    def _image_exits(self, coarsest: Tensor) -> tuple[int, ...]:
        """The exit of each image, by its coarsest projected map (B, C, H, W)."""
        return image_exits(self, len(coarsest), partial(pool, coarsest))

    def _tokens(self, projected: dict[int, Tensor]) -> tuple[Levels, Levels, TokenLayout, Levels]:
        """What the encoder takes: tokens, positions, layout and gates."""
        layout = TokenLayout.of(projected)
        tokens = {stride: to_tokens(m) for stride, m in projected.items()}
        return tokens, self._positions(projected), layout, self._gates(projected, layout)

    def _positions(self, projected: dict[int, Tensor]) -> dict[int, Tensor]:
        """Sine position plus level embedding of each level, stride -> (1, N, C)."""
        return {
            stride: sine_position(self.positional_encoding, feature_map) + level
            for (stride, feature_map), level in zip(
                projected.items(), self.level_encoding.weight, strict=True
            )
        }

    def _gates(self, projected: dict[int, Tensor], layout: TokenLayout) -> dict[int, Tensor]:
        """TRC's gate of every level but the finest, which enters as it is."""
        if not self.recalibration:
            return {}
        *coarser, finest = self.encoded_strides
        return {s: self.recalibration(projected[finest], layout.shape(s)) for s in coarser}


@MODELS.register_module(name="ProScalePixelDecoder")
def pro_scale_pixel_decoder(
    encoder: dict,
    recalibration: dict | None = dict(type="TRC"),
    pixel_embedding: dict | None = dict(type="LPE"),
    **arguments,
) -> DeformablePixelDecoder:
    """:class:`DeformablePixelDecoder` with PRO-SCALE's defaults: (3, 3, 3), TRC and LPE."""
    encoder = dict(schedule=dict(type="pro_scale", repeats=(3, 3, 3))) | dict(encoder)
    # dict(eps=0.5) is TRC with another eps.
    return DeformablePixelDecoder(
        encoder=encoder,
        recalibration=recalibration and dict(type="TRC") | dict(recalibration),
        pixel_embedding=pixel_embedding and dict(type="LPE") | dict(pixel_embedding),
        **arguments,
    )


def choose_exits(schedule: Schedule, exits: Sequence[int] | None, gated: bool) -> tuple[int, ...]:
    """The exits of a pixel decoder or detector, ascending: those given, or its schedule's.

    Raises:
        InputError: One that the schedule does not have; a single one, and a gate to choose from it.
    """
    if exits is not None:
        chosen = schedule.check_exits((exits,) if isinstance(exits, int) else exits)
    else:
        # ECO-M2F's first exit (section 4): after a single layer too much is missing.
        chosen = tuple(k for k in schedule.exits if k >= 2 or not gated)
    if gated and len(chosen) < 2:
        raise InputError(
            f"exit_gate has no choice: schedule {schedule} has the legal exits "
            f"{schedule.exits}, and exits={exits} leaves {chosen}: take a schedule with more, or "
            "exit_gate=None"
        )
    return chosen
