"""Token recalibration, TRC (PRO-SCALE section 3.1.1, eq. 4)."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.models.encoders.schedule import Schedule
from mmproscale.models.layers.token_layout import TokenLayout, to_tokens
from mmproscale.registry import MODELS, build_part

TOKEN_LAYOUTS = ("paper", "release")


@MODELS.register_module(name=["TokenRecalibration", "TRC"])
class TokenRecalibration(BaseModule):
    """Gate of coarser tokens, computed from the finest map: sigmoid(eps * phi(resize(s_finest))).

    Args:
        embed_dims: Channels C of the maps.
        eps: Temperature; it multiplies phi's bias too. The paper's best is 0.1 (Table 4).
        token_layout: ``'paper'`` resizes the map, as eq. 4 says. ``'release'`` is for weights of
            the authors' code, which reads the (B, N, C) token memory as if it were (B, C, H, W),
            resizes it and reads it back. That mixes channels and space.

    Raises:
        InputError: ``token_layout`` is unknown, or ``eps`` is not a number above 0.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        eps: float = 0.1,
        token_layout: str = "paper",
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if token_layout not in TOKEN_LAYOUTS:
            raise InputError(f"TRC token_layout={token_layout!r} must be one of {TOKEN_LAYOUTS}")
        if type(eps) not in (int, float) or not eps > 0:
            raise InputError(f"TRC eps={eps!r} must be a number above 0")
        self.eps = eps
        self.token_layout = token_layout
        self.phi = nn.Linear(embed_dims, 1)

    def init_weights(self) -> None:
        """Initialise phi: Xavier for the weight, zero for the bias."""
        nn.init.xavier_uniform_(self.phi.weight)
        nn.init.zeros_(self.phi.bias)

    def forward(self, finest: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the gate of a coarser level (eq. 4).

        Args:
            finest: The raw projected finest map, (B, C, H, W).
            size: (h, w) of the coarser level.

        Returns:
            (B, h * w, 1), in 0..1.
        """
        resize = self._resize_map if self.token_layout == "paper" else self._resize_as_release
        return (self.eps * self.phi(resize(finest, size))).sigmoid()

    @staticmethod
    def _resize_map(finest: Tensor, size: tuple[int, int]) -> Tensor:
        return to_tokens(F.interpolate(finest, size, mode="bilinear", align_corners=False))

    @staticmethod
    def _resize_as_release(finest: Tensor, size: tuple[int, int]) -> Tensor:
        memory = to_tokens(finest).reshape(finest.shape)  # BxNxC memory, read as BxCxHxW
        resized = F.interpolate(memory, size, mode="bilinear", align_corners=False)
        return resized.view(finest.shape[0], size[0] * size[1], finest.shape[1])


def build_recalibration(
    config: Mapping | None, schedule: Schedule, embed_dims: int
) -> TokenRecalibration | None:
    """Build TRC for an encoder; None without a config.

    Raises:
        InputError: The schedule has a single level, so there is no coarser one.
    """
    if not config:
        return None
    if len(schedule.strides) == 1:
        raise InputError(
            f"schedule {schedule} has one level, and TRC needs a coarser level: set "
            "recalibration=None"
        )
    return build_part(config, embed_dims=embed_dims)


def level_gates(
    recalibration: TokenRecalibration | None,
    finest_map: Tensor,
    schedule: Schedule,
    layout: TokenLayout,
) -> dict[int, Tensor]:
    """Return TRC's gate (B, N, 1) of every level except the finest, by stride; empty without TRC.

    Args:
        recalibration: TRC, or None.
        finest_map: The raw projected finest map, (B, C, H, W).
        schedule: Schedule of the levels.
        layout: Map sizes of the levels.
    """
    if recalibration is None:
        return {}
    return {s: recalibration(finest_map, layout.shape(s)) for s in schedule.strides[:-1]}
