"""ECO-M2F's exit gate (section 3.3, eq. 6): one look at an image says how deep it is encoded."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmproscale.registry import MODELS


@MODELS.register_module()
class ExitGate(BaseModule):
    """One linear layer from an image's coarsest features to a logit for each exit.

    Until it has learnt (step C) it sends every image to the last exit.

    Args:
        embed_dims: Channels C of the features.
        num_exits: How many exits there are to choose from.
    """

    def __init__(self, embed_dims: int, num_exits: int, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.linear = nn.Linear(embed_dims, num_exits)
        self.init_weights()

    def init_weights(self) -> None:
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        with torch.no_grad():
            self.linear.bias[-1] = 1

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, exits) of pooled features (B, C).

        In the weights' own precision, also under autocast: an image's exit does not hang on that.
        """
        with torch.autocast(features.device.type, enabled=False):
            return self.linear(features.to(self.linear.weight.dtype))


def pool(feature_map: Tensor) -> Tensor:
    """What the gate sees of a map (B, C, H, W): the mean over its tokens, (B, C)."""
    dtype = torch.promote_types(feature_map.dtype, torch.float32)
    return feature_map.flatten(2).mean(2, dtype=dtype)
