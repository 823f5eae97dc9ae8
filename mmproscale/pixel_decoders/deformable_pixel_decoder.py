"""The pixel decoder around a scheduled encoder: Mask2Former's, PRO-SCALE's, Lite-M2F's.

Input projections -> token recalibration -> scheduled encoder -> pixel embedding -> mask projection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmengine.model import normal_init
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.pixel_decoders.pixel_decoder import PixelDecoder, build_part
from mmproscale.pixel_decoders.scheduled_encoder import ScheduledEncoder
from mmproscale.pixel_decoders.token_layout import TokenLayout, to_tokens
from mmproscale.registry import MODELS


@MODELS.register_module()
class DeformablePixelDecoder(PixelDecoder):
    """Deformable attention over the coarser levels, as a schedule orders it.

    Args:
        encoder: ``dict(schedule=..., layer_cfg=...)``; ``num_layers`` in the schedule's place is
            Mask2Former's schedule of so many layers.
        recalibration: Config of TRC, or None for none.
        arguments: :class:`PixelDecoder`'s.

    Raises:
        InputError: A schedule that can't be or that names a level without a map; ``num_layers``
            beside ``schedule``; not one stride for each map.
    """

    def __init__(
        self,
        encoder: dict | None = None,
        recalibration: dict | None = None,
        strides: Sequence[int] = (4, 8, 16, 32),
        feat_channels: int = 256,
        **arguments,
    ) -> None:
        built = build_encoder(encoder)
        schedule = built.schedule
        schedule.check_maps(strides)
        super().__init__(
            schedule.strides,
            schedule.exits,
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

    def init_weights(self) -> None:
        """Mask2Former's initialisation."""
        super().init_weights()
        normal_init(self.level_encoding, mean=0, std=1)
        self.encoder.init_weights()
        if self.recalibration:
            self.recalibration.init_weights()

    def encode_maps(
        self, projected: dict[int, Tensor], exits: Sequence[int]
    ) -> Iterator[tuple[int, list[Tensor]]]:
        """As :meth:`PixelDecoder.encode_maps`."""
        exits = self.encoder.schedule.check_exits(exits)
        layout = TokenLayout.of(projected)
        tokens = {stride: to_tokens(m) for stride, m in projected.items()}
        pos, gates = self._positions(projected), self._gates(projected, layout)
        for exit_, encoded in self.encoder.encode(tokens, pos, layout, gates, exits):
            yield exit_, [layout.to_map(encoded[stride], stride) for stride in self.encoded_strides]

    def _positions(self, projected: dict[int, Tensor]) -> dict[int, Tensor]:
        """Sine position plus level embedding of each level, stride -> (1, N, C)."""
        return {
            stride: self.sine_position(feature_map) + level
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


def build_encoder(config: dict | None) -> ScheduledEncoder:
    """The encoder of ``dict(schedule=..., layer_cfg=...)`` or stock's ``num_layers``.

    Raises:
        InputError: Both ``schedule`` and ``num_layers``, or neither; an unknown key.
    """
    config = dict(config or {})
    num_layers, schedule = config.pop("num_layers", None), config.pop("schedule", None)
    if (num_layers is None) == (schedule is None):
        raise InputError(
            f"pixel_decoder.encoder has num_layers={num_layers} and schedule={schedule}: give one "
            "(where a base config brings num_layers, set it to None)"
        )
    layer_cfg = config.pop("layer_cfg", None)
    if layer_cfg is None or set(config) - {"init_cfg"}:
        raise InputError(
            "pixel_decoder.encoder takes schedule or num_layers, layer_cfg and init_cfg; it has "
            f"{sorted(config)} and {'no' if layer_cfg is None else 'a'} layer_cfg"
        )
    if schedule is None:
        # Stock levels are the coarsest num_levels of Mask2Former's strides.
        levels = [32 // 2**i for i in range(layer_cfg["self_attn_cfg"]["num_levels"])]
        schedule = dict(type="m2f", layers=num_layers, levels=levels)
    return ScheduledEncoder(schedule, layer_cfg, config.get("init_cfg"))
