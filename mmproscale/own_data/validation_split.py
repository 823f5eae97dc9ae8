"""A validation set where the data has none: images set aside by a seed, as files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.errors import InputError


def set_aside(count: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Places to train on and places to validate on, each in order; the same for the same seed.

    Args:
        count: how many images there are.
        share: of them to validate on; at least one, and one is left to train on.
        seed: of the random numbers.

    Raises:
        InputError: fewer than two images.
    """
    if count < 2:
        raise InputError(
            f"{count} annotated image can't be split: annotate more, or name --val-ann"
        )
    taken = min(count - 1, max(1, round(count * share)))
    val = np.sort(np.random.default_rng(seed).permutation(count)[:taken]).tolist()
    return sorted(set(range(count)) - set(val)), val


def split_content(
    content: dict[str, Any], share: float, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a COCO annotation file by its annotated images; all else of it goes into both.

    Args:
        content: the JSON.
        share: see :func:`set_aside`.
        seed: see :func:`set_aside`.
    """
    annotated = {annotation["image_id"] for annotation in content["annotations"]}
    images = [image for image in content["images"] if image["id"] in annotated]
    train, val = (
        _part(content, [images[place] for place in places])
        for places in set_aside(len(images), share, seed)
    )
    return train, val


def _part(content: dict[str, Any], images: Sequence[dict]) -> dict[str, Any]:
    ids = {image["id"] for image in images}
    kept = [a for a in content["annotations"] if a["image_id"] in ids]
    return content | dict(images=list(images), annotations=kept)


def split_file(config: Path, split: str, ending: str) -> Path:
    """Where a split's list goes: beside the config, with its name."""
    return config.with_name(f"{config.stem}_{split}{ending}")
