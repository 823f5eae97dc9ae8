"""ECO-M2F's exit gate (section 3.3, eq. 6): one look at an image says how deep it is encoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmproscale.registry import MODELS


class ExitHolder(Protocol):
    """What has an encoder with exits: a pixel decoder, or a detector itself.

    Attributes:
        training: Of the module.
        exits: After which layers an image may leave, ascending.
        exit: The one of all images when the model is evaluated, whatever a gate would choose.
        exit_gate: What chooses; None for the last.
    """

    training: bool
    exits: tuple[int, ...]
    exit: int | None
    exit_gate: ExitGate | None


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
        # It learns from what step B derives, never by a model's losses.
        self.requires_grad_(False)

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


def pool(feature_map: Tensor, padding: Tensor | None = None) -> Tensor:
    """What the gate sees of a map (B, C, H, W): the mean over its tokens, (B, C).

    Args:
        feature_map: The map.
        padding: (B, H * W) bool, the tokens that are left out; None for none.
    """
    dtype = torch.promote_types(feature_map.dtype, torch.float32)
    tokens = feature_map.flatten(2)
    if padding is None:
        return tokens.mean(2, dtype=dtype)
    valid = (~padding)[:, None].to(dtype)
    return (tokens * valid).sum(2, dtype=dtype) / valid.sum(2)


def image_exits(holder: ExitHolder, images: int, features: Callable[[], Tensor]) -> tuple[int, ...]:
    """The exit of each image: in training the last, else the forced one or what the gate chooses.

    Args:
        holder: What has the exits.
        images: B.
        features: Gives what the gate sees, (B, C); called where it is asked.
    """
    if not holder.training and holder.exit is not None:
        return (holder.exit,) * images
    if holder.training or holder.exit_gate is None:
        return holder.exits[-1:] * images
    chosen = holder.exit_gate(features()).argmax(1)
    return tuple(holder.exits[index] for index in chosen.tolist())
