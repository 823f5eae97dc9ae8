"""Checkpoints of early exit: the fingerprint of a model, and its gate, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmproscale.checkpoints.any_source import FOREIGN, load_source
from mmproscale.checkpoints.model_match import REBUILT
from mmproscale.checkpoints.read_checkpoint import state_dict_of
from mmproscale.checkpoints.weights_file import WeightsHeader, hash_weights, save_weights
from mmproscale.early_exit.derived_table import Origin
from mmproscale.early_exit.gate_fitting import FittedGate
from mmproscale.errors import InputError
from mmproscale.utils.command_names import command
from mmproscale.utils.json_values import nan_to_null


def fingerprint(weights: Mapping[str, Tensor], gate: str) -> str:
    """Return a hash of all weights but the gate's, as 64 hexadecimal digits.

    It identifies the model of a derived dataset. Step C changes the gate, so the gate does not
    count; after any other change the stored vectors and qualities belong to another model.

    Args:
        weights: Name -> tensor. Names, types, shapes and bytes count, except those of buffers that
            a model rebuilds by itself.
        gate: Name of the gate's linear layer.
    """
    return hash_weights(
        {
            name: weight
            for name, weight in weights.items()
            if not name.startswith(f"{gate}.") and not name.endswith(REBUILT)
        }
    )


def load_same_model(path: str | Path, origin: Origin, derived: str | Path) -> dict[str, Any]:
    """Load a checkpoint of the model that a derived file was made from.

    Args:
        path: The checkpoint.
        origin: The derived file's origin.
        derived: The derived file's name, for the message.

    Raises:
        InputError: The checkpoint can't be read, or belongs to another model.
    """
    checkpoint = load_source(path)
    if FOREIGN in checkpoint:
        raise InputError(f"{path} is another package's: convert it first, by {command('convert')}")
    if fingerprint(state_dict_of(checkpoint), origin.gate) != origin.fingerprint:
        raise InputError(
            f"{path} is another model than {derived} was derived from (config {origin.config}): "
            "give that model's checkpoint, or derive again"
        )
    return checkpoint


def gate_of(checkpoint: dict[str, Any], origin: Origin, path: str | Path) -> FittedGate:
    """Return a checkpoint's gate.

    Raises:
        InputError: The checkpoint has no gate, or one for other exits.
    """
    weights = state_dict_of(checkpoint)
    names = [f"{origin.gate}.{kind}" for kind in ("weight", "bias")]
    if any(name not in weights for name in names):
        fit = command("eco fit")
        raise InputError(f"{path} has no gate ({origin.gate}): write one with `{fit}`")
    weight, bias = (weights[name].float().cpu().numpy() for name in names)
    if len(weight) != len(origin.exits):
        raise InputError(
            f"{path} has a gate for {len(weight)} exits, and the derived file has {origin.exits}"
        )
    return FittedGate(weight, bias)


def write_gate(
    checkpoint: dict[str, Any],
    origin: Origin,
    gate: FittedGate,
    out: Path,
    settings: Mapping[str, Any],
    header: WeightsHeader,
) -> None:
    """Write a checkpoint's weights with another gate and without optimiser state.

    An interrupted run leaves no partial file.

    Args:
        checkpoint: As :func:`load_same_model` gives it.
        origin: The derived file's origin, which has the gate's name.
        gate: The new gate.
        out: The file.
        settings: Settings and results of the fit, kept as ``meta['early_exit']``.
        header: The checkpoint's header.

    Raises:
        InputError: The file can't be written.
    """
    weights = dict(state_dict_of(checkpoint))
    weights[f"{origin.gate}.weight"] = torch.from_numpy(gate.weight)
    weights[f"{origin.gate}.bias"] = torch.from_numpy(gate.bias)
    header = replace(header, early_exit=nan_to_null(dict(settings)))
    save_weights(out, weights, header, checkpoint.get("meta"))
