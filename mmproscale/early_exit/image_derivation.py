"""Step B of ECO-M2F for one image (section 3.2): every exit's quality, and what the gate sees."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from torch import Tensor

from mmproscale.analysis.model_cost import Network, model_cost
from mmproscale.criterion import QueryPredictions
from mmproscale.detectors import UniversalSegmentor
from mmproscale.early_exit.image_quality import PanopticImageQuality
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

    def __init__(self, model: UniversalSegmentor, quality: PanopticImageQuality) -> None:
        check_gated(model)
        self.model, self.quality = model, quality
        self.decoder = model.panoptic_head.pixel_decoder
        # All exits are looked at, also where a config forces one.
        self.decoder.exit = None
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
        head = self.model.panoptic_head
        measured = [
            self._measure(predictions, samples)
            for _, predictions in head.decode_exits(feats, self.decoder.exits)
        ]
        size = (batch["inputs"].shape[-2], batch["inputs"].shape[-1])
        layer_macs = self._layer_macs(feats)
        return dict(
            image_id=str(samples[0].img_id),
            height=size[0],
            width=size[1],
            quality=[quality for quality, _ in measured],
            gate_input=self.decoder.gate_input(feats)[0].float().cpu().numpy(),
            layer_macs=layer_macs,
            fixed_macs=self._fixed(size, layer_macs),
            **sparse_counts(np.stack([counts for _, counts in measured])),
        )

    def _measure(
        self, predictions: QueryPredictions, samples: Sequence[DetDataSample]
    ) -> tuple[float, np.ndarray]:
        samples = copy.deepcopy(samples)
        results = self.model.panoptic_fusion_head.predict(
            predictions.class_logits[-1], predictions.masks(), samples, rescale=True
        )
        (sample,) = self.model.add_pred_to_datasample(samples, results)
        return self.quality.measure(sample.to_dict())

    def _layer_macs(self, feats: Sequence[Tensor]) -> tuple[int, ...]:
        encoder, strides = self.decoder.encoder, self.decoder.strides
        shapes = {
            stride: (feat.shape[-2], feat.shape[-1])
            for stride, feat in zip(strides, feats, strict=True)
        }
        return encoder.schedule.cost(shapes, **encoder.widths)

    def _fixed(self, size: tuple[int, int], layer_macs: Sequence[int]) -> int:
        """Multiply-accumulates beside the encoder's layers; traced once for each size (H, W)."""
        if size not in self._fixed_macs:
            skipped = self.decoder.encoder.schedule.skipped_layers(self.decoder.exits[-1])
            layers = sum(layer_macs) - sum(layer_macs[index] for index in skipped)
            # Traced as the gate's last exit runs.
            self._fixed_macs[size] = model_cost(Network(self.model), size).total - layers
        return self._fixed_macs[size]


def sparse_counts(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Counts (E, C, 4) as the classes that occur at any exit, and theirs, class by class."""
    occurring = np.flatnonzero(counts[..., 1:].any(axis=(0, 2)))
    return dict(labels=occurring, counts=counts[:, occurring].transpose(1, 0, 2).ravel())


def check_gated(model: torch.nn.Module) -> None:
    """Raise InputError where a model has no gate whose choice could be learnt."""
    if not isinstance(model, UniversalSegmentor):
        raise InputError(
            f"the model is a {type(model).__name__}: exits are derived for "
            "mmproscale.UniversalSegmentor"
        )
    if getattr(model.panoptic_head.pixel_decoder, "exit_gate", None) is None:
        raise InputError(
            "the model has no exit gate: name a config that has one (configs/eco*), or set "
            "pixel_decoder.exit_gate=dict(type='ExitGate')"
        )
