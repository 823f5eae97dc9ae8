"""The gate of a checkpoint: read, compared with a derived dataset, and written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mmproscale.checkpoints.read_checkpoint import load_checkpoint, state_dict_of
from mmproscale.early_exit.derived_table import Origin
from mmproscale.early_exit.fingerprint import fingerprint
from mmproscale.early_exit.gate_fitting import FittedGate
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_path


def load_same_model(path: str | Path, origin: Origin, derived: str | Path) -> dict[str, Any]:
    """A checkpoint of the model that a derived file was made from.

    Args:
        path: The checkpoint.
        origin: The derived file's.
        derived: Its name, for the message.

    Raises:
        InputError: The checkpoint can't be read, or is another model's.
    """
    checkpoint = load_checkpoint(path)
    if fingerprint(state_dict_of(checkpoint), origin.gate) != origin.fingerprint:
        raise InputError(
            f"{path} is another model than {derived} was derived from (by {origin.config}): give "
            "that one's checkpoint, or derive again"
        )
    return checkpoint


def gate_of(checkpoint: dict[str, Any], origin: Origin, path: str | Path) -> FittedGate:
    """The gate that a checkpoint has.

    Raises:
        InputError: It has none, or one for other exits.
    """
    weights = state_dict_of(checkpoint)
    names = [f"{origin.gate}.{kind}" for kind in ("weight", "bias")]
    if any(name not in weights for name in names):
        raise InputError(f"{path} has no gate ({origin.gate}): write one with `tools/eco.py fit`")
    weight, bias = (weights[name].float().cpu().numpy() for name in names)
    if len(weight) != len(origin.exits):
        raise InputError(
            f"{path} has a gate for {len(weight)} exits, and the derived file has {origin.exits}"
        )
    return FittedGate(weight, bias)


def write_gate(
    checkpoint: dict[str, Any], origin: Origin, gate: FittedGate, out: Path, how: Mapping[str, Any]
) -> None:
    """Write a checkpoint's weights with another gate, whole or not at all; no optimiser's state.

    Args:
        checkpoint: As :func:`load_same_model` gives it.
        origin: Says where the gate is.
        gate: The new one.
        out: The file.
        how: What the gate was fitted with, kept as ``meta['early_exit']``.

    Raises:
        InputError: The file can't be written.
    """
    weights = dict(state_dict_of(checkpoint))
    weights[f"{origin.gate}.weight"] = torch.from_numpy(gate.weight)
    weights[f"{origin.gate}.bias"] = torch.from_numpy(gate.bias)
    meta = dict(checkpoint.get("meta") or {}) | {"early_exit": dict(how)}
    with atomic_path(out) as temporary:
        torch.save({"meta": meta, "state_dict": weights}, temporary)
