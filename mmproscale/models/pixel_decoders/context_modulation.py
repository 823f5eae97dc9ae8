"""Context-based self-modulation, CSM (PEM section 3.3, eq. 8-9)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.registry import MODELS

GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "double_sigmoid": lambda context: context.sigmoid().sigmoid(),
}


@MODELS.register_module(name=["ContextModulation", "CSM"])
class ContextModulation(BaseModule):
    """Channels weighed by what the whole map holds: x * gate(MLP(mean of x)) + x.

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
        """(B, C, H, W) to the same."""
        context = self.expand(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * GATES[self.gate](context) + x
