"""Step B of ECO-M2F for one image (section 3.2): every exit's quality, and what the gate sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dataset import pseudo_collate

from mmproscale.cost.model_cost import Network, model_cost
from mmproscale.cost.model_parts import exit_holder
from mmproscale.early_exit.image_quality import ImageQuality
from mmproscale.errors import InputError


class ImageDerivation:
    """Runs a model once for each image, and its query decoder once for each exit.

    An image is alone in its batch: what it is padded to by others would change its result.

    Args:
        model: With weights, in evaluation mode, on its device.
        quality: What is measured.

    Raises:
        InputError: A model without a gate.
    """

    def __init__(self, model: torch.nn.Module, quality: ImageQuality) -> None:
        _, self.holder = check_gated(model)
        self.model, self.quality = model, quality
        # All exits are looked at, also where a config forces one.
        self.holder.exit = None
        self._fixed_macs: dict[tuple[int, int], int] = {}

    @torch.no_grad()
    def derive(self, item: dict[str, Any]) -> dict[str, Any]:
        """One row of a derived file.

        Args:
            item: What the dataset's pipeline gives.

        Raises:
            InputError: The ground truth and the image do not go together.
            FloatingPointError: Logits that are not numbers.
        """
        batch = self.model.data_preprocessor(pseudo_collate([item]), False)
        samples, feats = batch["data_samples"], self.model.extract_feat(batch["inputs"])
        measured = [
            self.quality.measure(sample.to_dict())
            for _, (sample,) in self.model.predict_exits(feats, samples, self.holder.exits)
        ]
        size = (batch["inputs"].shape[-2], batch["inputs"].shape[-1])
        layer_macs = self.model.layer_costs(feats)
        return dict(
            image_id=str(samples[0].img_id),
            height=size[0],
            width=size[1],
            quality=[quality for quality, _ in measured],
            gate_input=self.model.gate_input(feats, samples)[0].float().cpu().numpy(),
            layer_macs=layer_macs,
            fixed_macs=self._fixed(size, layer_macs),
            **self.quality.columns([kept for _, kept in measured]),
        )

    def _fixed(self, size: tuple[int, int], layer_macs: Sequence[int]) -> int:
        """Multiply-accumulates beside the encoder's layers; traced once for each size (H, W)."""
        if size not in self._fixed_macs:
            skipped = self.holder.encoder.schedule.skipped_layers(self.holder.exits[-1])
            layers = sum(layer_macs) - sum(layer_macs[index] for index in skipped)
            # Traced as the gate's last exit runs.
            self._fixed_macs[size] = model_cost(Network(self.model), size).total - layers
        return self._fixed_macs[size]


def check_gated(model: torch.nn.Module) -> tuple[str, torch.nn.Module]:
    """Path and module of what has the exits and a gate whose choice can be learnt.

    Raises:
        InputError: There is none, or the model can't be looked at exit by exit.
    """
    if not hasattr(model, "predict_exits"):
        raise InputError(
            f"the model is a {type(model).__name__}: exits are derived for "
            "mmproscale.UniversalSegmentor, and for detectors of ours"
        )
    path, holder = exit_holder(model) or ("", None)
    if getattr(holder, "exit_gate", None) is None:
        raise InputError(
            "the model has no exit gate: name a config that has one (configs/eco*), or set "
            f"{'pixel_decoder' if path else 'model'}.exit_gate=dict(type='ExitGate')"
        )
    return path, holder
