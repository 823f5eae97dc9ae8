"""Derived datasets of random images whose gate input shows which exit they need."""

from typing import Any

import numpy as np

from mmproscale.early_exit.dataset_quality import ClassCounts
from mmproscale.early_exit.derived_table import DerivedTable, Origin
from mmproscale.evaluation.panoptic_quality import IOU_UNIT

EXITS, CHANNELS, CLASSES = (2, 3, 4, 5, 6), 8, 3
GATE = "panoptic_head.pixel_decoder.exit_gate.linear"


def origin(**changes: Any) -> Origin:
    fields = dict(
        config="eco.py",
        fingerprint="f" * 64,
        gate=GATE,
        exits=EXITS,
        num_layers=EXITS[-1],
        tail=0,
        schedule="M2F x6",
        quality="pq",
        categories=tuple(dict(id=i, name=f"class {i}", isthing=1) for i in range(CLASSES)),
    )
    return Origin(**(fields | changes))


def derived_table(images: int = 300, noise: float = 0.1, seed: int = 0) -> DerivedTable:
    """Return a table in which half of the images are easy: exit 2 is as good as any.

    The first channel of the gate input shows which images are easy, up to ``noise``.
    """
    random = np.random.default_rng(seed)
    easy = random.random(images) < 0.5
    gate_inputs = random.normal(3.0, 2.0, (images, CHANNELS)).astype(np.float32)
    gate_inputs[:, 0] = np.where(easy, 5.0, -5.0) + noise * random.normal(size=images)
    hard_quality = 0.3 + 0.1 * np.arange(len(EXITS))
    quality = np.where(easy[:, None], 0.7, hard_quality) + 0.02 * random.random((images, 5))
    layers = np.repeat(random.integers(900, 1100, (images, 1)), 6, axis=1) * 10**6
    return DerivedTable(
        origin=origin(),
        image_ids=tuple(str(n) for n in range(images)),
        sizes=np.tile([480, 640], (images, 1)).astype(np.int32),
        quality=quality,
        gate_inputs=gate_inputs,
        layer_macs=layers,
        fixed_macs=np.full(images, 5 * 10**9),
        counts=counts_of(quality, random),
    )


def counts_of(quality: np.ndarray, random: np.random.Generator) -> ClassCounts:
    """Return counts of one match in every image, whose IoU is its quality, of a random class."""
    images = len(quality)
    values = np.zeros((images, len(EXITS), 4), np.int64)
    values[..., 0] = np.rint(quality / IOU_UNIT)
    values[..., 1] = 1
    return ClassCounts(
        images=np.arange(images),
        labels=random.integers(0, CLASSES, images).astype(np.int32),
        values=values,
        num_images=images,
        num_classes=CLASSES,
    )


def rows_of(table: DerivedTable) -> list[dict]:
    """Return the table as rows of a derived file."""
    return [
        dict(
            image_id=table.image_ids[n],
            height=table.sizes[n, 0],
            width=table.sizes[n, 1],
            quality=table.quality[n],
            gate_input=table.gate_inputs[n],
            layer_macs=table.layer_macs[n],
            fixed_macs=table.fixed_macs[n],
            labels=table.counts.labels[n : n + 1],
            counts=table.counts.values[n].ravel(),
        )
        for n in range(len(table))
    ]
