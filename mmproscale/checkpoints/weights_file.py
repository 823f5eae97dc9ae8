"""Files of weights for prediction: safetensors with a header, or a file of torch.save."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmproscale.checkpoints.hub import local_file
from mmproscale.checkpoints.read_checkpoint import load_checkpoint, state_dict_of
from mmproscale.checkpoints.weights_header import (
    WeightsHeader,
    hash_weights,
    make_header,
    read_header,
)
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_path

SUFFIXES = (".safetensors", ".pth", ".pt")


def check_suffix(path: str | Path) -> None:
    """Check that a file to write has a known form.

    Raises:
        InputError: Its name ends otherwise than in ``SUFFIXES``.
    """
    if Path(path).suffix not in SUFFIXES:
        raise InputError(f"{path}: give a name that ends in {' or '.join(SUFFIXES)}")


def save_weights(
    path: str | Path,
    weights: nn.Module | Mapping[str, Tensor],
    header: WeightsHeader,
    meta: Mapping[str, Any] | None = None,
) -> None:
    """Write a whole file of weights or none; the ending of its name decides its form.

    Args:
        path: A name that ends in ``.safetensors``, or in ``.pth``, whose ``meta`` has the classes.
        weights: A model, or the weights under its names.
        header: As ``make_header(config, dataset_meta)`` returns it; its hash is filled in.
        meta: Further items of a ``.pth`` file's ``meta``.

    Raises:
        InputError: The name ends otherwise, or the file can't be written.
    """
    check_suffix(path)
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    # safetensors takes no two names of one memory, such as of a layer that is shared.
    own = {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}
    with atomic_path(path) as temporary:
        if Path(path).suffix == ".safetensors":
            from safetensors.torch import save_file

            header = replace(header, sha256=hash_weights(own))
            save_file(own, temporary, header.metadata())
        else:
            torch.save({"meta": {**(meta or {}), **header.meta}, "state_dict": own}, temporary)


def header_of(path: str | Path, meta: Mapping[str, Any]) -> WeightsHeader:
    """Return a checkpoint's header; of a file without one, that of its ``meta``, without a config.

    Raises:
        InputError: The file's header can't be read.
    """
    file = local_file(path)
    found = read_header(file) if file.suffix == ".safetensors" else None
    return found or make_header(None, meta.get("dataset_meta"))


def export_weights(checkpoint: str | Path, out: str | Path, config: Any) -> WeightsHeader:
    """Write a training checkpoint's weights as safetensors, and return their header.

    With an average of the weights (EMAHook), the checkpoint's weights are the averaged ones.

    Raises:
        InputError: A file can't be read or written.
    """
    content = load_checkpoint(checkpoint)
    header = make_header(config, (content.get("meta") or {}).get("dataset_meta"))
    save_weights(out, state_dict_of(content), header)
    return header
