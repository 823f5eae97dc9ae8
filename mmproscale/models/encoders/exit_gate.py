"""Early exits of ECO-M2F (section 3.3): a gate (eq. 6) chooses how many layers an image takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.models.encoders.schedule import Schedule
from mmproscale.registry import MODELS, build_part


@MODELS.register_module()
class ExitGate(BaseModule):
    """Linear layer from an image's coarsest features to a logit for each exit (eq. 6).

    Before it is trained (step C), it sends every image to the last exit.

    Args:
        embed_dims: Channels C of the features.
        num_exits: Number of exits to choose from.
    """

    def __init__(self, embed_dims: int, num_exits: int, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.linear = nn.Linear(embed_dims, num_exits)
        self.init_weights()
        # Step C trains it with the targets of step B, never the model's losses.
        self.requires_grad_(False)

    def init_weights(self) -> None:
        """Initialise so that the last exit has the largest logit for every image."""
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        with torch.no_grad():
            self.linear.bias[-1] = 1

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, exits) for pooled features (B, C).

        They have the weights' precision also under autocast, so that exits do not depend on it.
        """
        with torch.autocast(features.device.type, enabled=False):
            return self.linear(features.to(self.linear.weight.dtype))


def mean_over_tokens(feature_map: Tensor, padding: Tensor | None = None) -> Tensor:
    """Return the gate's input (B, C): the mean over the tokens of a map.

    Args:
        feature_map: (B, C, H, W).
        padding: (B, H * W) bool, True for tokens that are left out; None without padding.
    """
    dtype = torch.promote_types(feature_map.dtype, torch.float32)
    tokens = feature_map.flatten(2)
    if padding is None:
        return tokens.mean(2, dtype=dtype)
    valid = (~padding)[:, None].to(dtype)
    return (tokens * valid).sum(2, dtype=dtype) / valid.sum(2)


class LayeredEncoder(Protocol):
    """Encoder of layers, with exits between them and a cost for each."""

    schedule: Schedule
    layers: nn.ModuleList

    def layer_costs(self, shapes: Mapping[int, tuple[int, int]]) -> tuple[int, ...]:
        """Return the multiply-accumulates of each layer for one image, for map sizes by stride."""


class EarlyExits:
    """Mixin of a pixel decoder or a detector whose encoder has early exits.

    The module sets ``strides`` (of its maps, high resolution first) and ``encoder``, and calls
    :meth:`set_exits` once the encoder is built.

    Attributes:
        exits: Numbers of layers after which an image may leave, ascending.
        exit: Exit of every image in evaluation; it overrides the gate. None for the gate's choice,
            or for the last exit without a gate.
        exit_gate: Gate that chooses in evaluation; None for the last exit.
    """

    training: bool
    strides: tuple[int, ...]
    encoder: LayeredEncoder
    exits: tuple[int, ...]
    exit: int | None
    exit_gate: ExitGate | None

    def set_exits(
        self,
        exits: Sequence[int] | None,
        exit_gate: Mapping | None,
        exit: int | None,
        embed_dims: int,
    ) -> None:
        """Check the exits, build the gate, and freeze the layers after the last exit.

        Args:
            exits: Exits to use; None for those of the schedule, with a gate from two layers on.
            exit_gate: Config of the gate, ``dict(type='ExitGate')``, or None.
            exit: Exit of every image in evaluation, or None.
            embed_dims: Channels of the gate's input.

        Raises:
            InputError: The schedule does not have an exit; a gate has a single exit.
        """
        schedule = self.encoder.schedule
        self.exits = choose_exits(schedule, exits, gated=bool(exit_gate))
        # No image reaches these layers in training, and DDP waits for missing gradients.
        for index in schedule.skipped_layers(self.exits[-1]):
            self.encoder.layers[index].requires_grad_(False)
        self.exit = None if exit is None else schedule.check_exits((exit,))[0]
        self.exit_gate = None
        if exit_gate:
            self.exit_gate = build_part(exit_gate, embed_dims=embed_dims, num_exits=len(self.exits))

    @property
    def gate_macs(self) -> int:
        """Multiply-accumulates of the gate for one image."""
        return 0 if self.exit_gate is None else self.exit_gate.linear.weight.numel()

    @property
    def gate_chooses(self) -> bool:
        """True if a gate chooses the exit of each image in evaluation."""
        return self.exit_gate is not None and self.exit is None

    def image_exits(self, images: int, features: Callable[[], Tensor]) -> tuple[int, ...]:
        """Return the exit of each image: the last in training, otherwise the forced or chosen exit.

        Args:
            images: Number of images B.
            features: Returns the gate's input (B, C); called only where a gate chooses.
        """
        if not self.training and self.exit is not None:
            return (self.exit,) * images
        if self.training or self.exit_gate is None:
            return self.exits[-1:] * images
        chosen = self.exit_gate(features()).argmax(1)
        return tuple(self.exits[index] for index in chosen.tolist())

    def layer_costs(self, feats: Sequence[Tensor]) -> tuple[int, ...]:
        """Return the multiply-accumulates of each encoder layer for one image.

        Args:
            feats: Maps (B, C_i, H_i, W_i) of :attr:`strides`, high resolution first.
        """
        sizes = ((feat.shape[-2], feat.shape[-1]) for feat in feats)
        return self.encoder.layer_costs(dict(zip(self.strides, sizes, strict=True)))


def choose_exits(schedule: Schedule, exits: Sequence[int] | None, gated: bool) -> tuple[int, ...]:
    """Return the exits of a model, ascending: the given exits, or those of the schedule.

    Raises:
        InputError: The schedule does not have an exit; a gate has a single exit.
    """
    if exits is not None:
        chosen = schedule.check_exits((exits,) if isinstance(exits, int) else exits)
    else:
        # ECO-M2F's first exit is after two layers (section 4).
        chosen = tuple(k for k in schedule.exits if k >= 2 or not gated)
    if gated and len(chosen) < 2:
        raise InputError(
            f"exit_gate has no choice: schedule {schedule} has the legal exits "
            f"{schedule.exits}, and exits={exits} leaves {chosen}: set a schedule with more exits, "
            "or exit_gate=None"
        )
    return chosen
