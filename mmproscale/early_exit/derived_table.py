"""A derived dataset in memory (ECO-M2F section 3.2): for each image what every exit is worth."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Evidence(Protocol):
    """From which a dataset's quality follows, for any choice of exits."""

    def take(self, indices: np.ndarray) -> Evidence:
        """That of some images, each at most once; they are numbered afresh in that order."""

    def quality(self, choice: np.ndarray) -> float:
        """Quality in 0..1 of all images, each at its place in the exits, ``choice`` (N,)."""

    def qualities(self, choice: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The same, (S,), where sample s has image n ``weights[s, n]`` times."""


@dataclass(frozen=True)
class Origin:
    """What a derived dataset was made from, and how to read it.

    Args:
        config: The config's file name.
        fingerprint: Of the model's weights but the gate's.
        gate: Where the checkpoint has the gate's linear layer.
        exits: Numbers of layers after which an image may leave, ascending.
        num_layers: Layers of the schedule, the tail included.
        tail: How many of the last layers always run.
        schedule: As it prints itself.
        quality: What was measured: ``pq``, ``ap``, ...
        categories: ``id``, ``name`` and of PQ ``isthing`` of each class, in the order of labels;
            none for a quality from which no dataset's follows.
    """

    config: str
    fingerprint: str
    gate: str
    exits: tuple[int, ...]
    num_layers: int
    tail: int
    schedule: str
    quality: str
    categories: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class DerivedTable:
    """N images at E exits.

    Args:
        origin: What it was made from.
        image_ids: N of them, as text.
        sizes: (N, 2) height and width that the network sees, padding included.
        quality: (N, E) in 0..1; NaN where there was nothing to find and nothing was found.
        gate_inputs: (N, C) float32.
        layer_macs: (N, L) int64, multiply-accumulates of each layer of the encoder.
        fixed_macs: (N,) int64, of everything else, up to class and mask logits.
        counts: From which a dataset's quality follows: PQ's counts, AP's matches; None for another
            quality.
    """

    origin: Origin
    image_ids: tuple[str, ...]
    sizes: np.ndarray
    quality: np.ndarray
    gate_inputs: np.ndarray
    layer_macs: np.ndarray
    fixed_macs: np.ndarray
    counts: Evidence | None = None

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
        """(N, E) cost of the layers in units of the image's mean layer: k where all are alike."""
        return self.encoder_costs / self.layer_macs.mean(1, keepdims=True)

    def take(self, indices: np.ndarray) -> DerivedTable:
        """The same of some images, each at most once."""
        return DerivedTable(
            origin=self.origin,
            image_ids=tuple(self.image_ids[index] for index in indices),
            sizes=self.sizes[indices],
            quality=self.quality[indices],
            gate_inputs=self.gate_inputs[indices],
            layer_macs=self.layer_macs[indices],
            fixed_macs=self.fixed_macs[indices],
            counts=self.counts and self.counts.take(indices),
        )


def split(table: DerivedTable, held_out: float, seed: int = 0) -> tuple[DerivedTable, DerivedTable]:
    """Images to fit the gate to, and images to judge it by.

    An image's side depends on its id and the seed alone, so it stays where others come and go.

    Args:
        table: All images.
        held_out: The share to judge by; with 0, all images serve for both.
        seed: Another seed, another split.
    """
    if held_out == 0:
        return table, table
    judged = _draws(table.image_ids, seed) < held_out
    return table.take(np.flatnonzero(~judged)), table.take(np.flatnonzero(judged))


def _draws(image_ids: Sequence[str], seed: int) -> np.ndarray:
    """A number in 0..1 for each id, which looks random."""
    digests = (hashlib.sha256(f"{seed}:{image_id}".encode()).digest() for image_id in image_ids)
    return np.array([int.from_bytes(digest[:8], "big") / 2**64 for digest in digests])
