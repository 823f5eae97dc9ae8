"""The derived dataset in memory (ECO-M2F section 3.2): quality and cost of each image's exits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmproscale.early_exit.dataset_quality import QualityCounts


@dataclass(frozen=True)
class Origin:
    """The model, data and quality that a derived dataset was made from.

    Args:
        config: The config's file name.
        fingerprint: Hash of the model's weights without the gate's.
        gate: Name of the gate's linear layer in the checkpoint.
        exits: Numbers of layers after which an image may leave, ascending.
        num_layers: Layers of the schedule, the tail included.
        tail: Number of last layers that always run.
        schedule: Text by which the schedule prints itself.
        quality: Name of the measured quality: ``pq``, ``ap`` or ``ap50``.
        categories: ``id`` and ``name`` of each class, for PQ also ``isthing``, in the order of
            labels.
    """

    config: str
    fingerprint: str
    gate: str
    exits: tuple[int, ...]
    num_layers: int
    tail: int
    schedule: str
    quality: str
    categories: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class DerivedTable:
    """N images at E exits of an encoder with L layers.

    Args:
        origin: The model, data and quality.
        image_ids: N ids, as text.
        sizes: (N, 2) height and width that the network sees, padding included.
        quality: (N, E) in 0..1; NaN where neither truth nor result has a segment or box.
        gate_inputs: (N, C) float32.
        layer_macs: (N, L) int64, multiply-accumulates of each layer of the encoder.
        fixed_macs: (N,) int64, those of the rest of the model, up to class and mask logits.
        counts: Records that give the dataset's quality for any choice of exits.
    """

    origin: Origin
    image_ids: tuple[str, ...]
    sizes: np.ndarray
    quality: np.ndarray
    gate_inputs: np.ndarray
    layer_macs: np.ndarray
    fixed_macs: np.ndarray
    counts: QualityCounts

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def encoder_costs(self) -> np.ndarray:
        """(N, E) int64 multiply-accumulates of the layers that run at each exit, tail included."""
        summed = np.cumsum(self.layer_macs, axis=1)
        body = self.origin.num_layers - self.origin.tail
        tail = self.layer_macs[:, body:].sum(1, keepdims=True)
        return summed[:, [exit_ - 1 for exit_ in self.origin.exits]] + tail

    @property
    def costs(self) -> np.ndarray:
        """(N, E) int64 multiply-accumulates of the whole model as run."""
        return self.encoder_costs + self.fixed_macs[:, None]

    @property
    def relative_costs(self) -> np.ndarray:
        """(N, E) encoder costs in mean layers of the image; k where all layers cost alike."""
        return self.encoder_costs / self.layer_macs.mean(1, keepdims=True)

    def take(self, indices: np.ndarray) -> DerivedTable:
        """Return the table of some images, each at most once."""
        return DerivedTable(
            origin=self.origin,
            image_ids=tuple(self.image_ids[index] for index in indices),
            sizes=self.sizes[indices],
            quality=self.quality[indices],
            gate_inputs=self.gate_inputs[indices],
            layer_macs=self.layer_macs[indices],
            fixed_macs=self.fixed_macs[indices],
            counts=self.counts.take(indices),
        )


def split(table: DerivedTable, held_out: float, seed: int = 0) -> tuple[DerivedTable, DerivedTable]:
    """Return the images to fit the gate to, and the images to judge it by.

    An image's side depends only on its id and the seed, so it stays when other images come or go.

    Args:
        table: All images.
        held_out: Share of images that judge the gate; with 0, all images fit the gate and judge it.
        seed: Another seed gives another split.
    """
    if held_out == 0:
        return table, table
    judged = np.array([_draw(image_id, seed) for image_id in table.image_ids]) < held_out
    return table.take(np.flatnonzero(~judged)), table.take(np.flatnonzero(judged))


def _draw(image_id: str, seed: int) -> float:
    """Return a pseudo-random number in 0..1 that is fixed for an id."""
    digest = hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
