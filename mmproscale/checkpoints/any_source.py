"""Weights from any source for a model: files of ours, files of other packages, and hub names.

Weights of other packages are recognised by their keys, and converted when it is known for which
model.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from torch import nn

from mmproscale.checkpoints.foreign.class_lists import config_metainfo
from mmproscale.checkpoints.foreign.for_config import convert_for_config
from mmproscale.checkpoints.foreign.reading import (
    ForeignFile,
    foreign_of,
    load_folder,
    tensors_of,
)
from mmproscale.checkpoints.foreign.sources import SOURCES, recognise
from mmproscale.checkpoints.hub import local_file
from mmproscale.checkpoints.model_match import check_same_model
from mmproscale.checkpoints.read_checkpoint import as_checkpoint, load_content, state_dict_of
from mmproscale.checkpoints.warm_start import warm_start
from mmproscale.errors import InputError

FOREIGN = "foreign"
OURS = "mmdet"


def load_source(source: str | os.PathLike, map_location: Any = None) -> dict:
    """Read a checkpoint of ours, weights of another package, or those of a hub name.

    Args:
        source: A file, a folder of transformers, or a hub name (see :func:`local_file`).
        map_location: As in ``torch.load``; None for the CPU.

    Returns:
        The checkpoint. Weights of another package have its keys, and what is known about them is
        under ``FOREIGN`` until :func:`convert_checkpoint` converts them.

    Raises:
        InputError: It can't be found or read, or holds code or no weights.
    """
    file = local_file(source)
    content = load_folder(file) if file.is_dir() else load_content(file, map_location)
    if recognise(tensors_of(content)) in (None, OURS):
        return as_checkpoint(content, file)
    foreign = foreign_of(content, file)
    return {"state_dict": foreign.weights, "meta": {}, FOREIGN: foreign}


def load_model_weights(
    model: nn.Module, source: str | os.PathLike, config: Config | None = None
) -> dict:
    """Load weights of the same model into it, and return the checkpoint.

    Args:
        model: The model.
        source: As for :func:`load_source`.
        config: The model's config, which names its classes, for weights of another package.

    Raises:
        InputError: The source cannot be read, or is a checkpoint of another model.
    """
    checkpoint = load_source(source)
    meta = {} if config is None else config_metainfo(config)
    lines = convert_checkpoint(model, checkpoint, os.fspath(source), config, meta.get("classes"))
    if lines:
        print(*lines, sep="\n", file=sys.stderr)
        checkpoint["meta"] = {"dataset_meta": meta} if meta else checkpoint["meta"]
    check_same_model(model, checkpoint, os.fspath(source))
    model.load_state_dict(state_dict_of(checkpoint), strict=False)
    return checkpoint


def convert_checkpoint(
    model: nn.Module,
    checkpoint: dict,
    source: str,
    config: Config | None = None,
    classes: Sequence[str] | None = None,
    partial: bool = False,
) -> list[str]:
    """Convert a checkpoint's weights to the model's: another package's, or of another schedule.

    Args:
        model: The model that they are for.
        checkpoint: As :func:`load_source` returns it; changed in place.
        source: Its name, for messages.
        config: The model's config, where it is known.
        classes: The model's classes by label, where they are known.
        partial: Fine-tuning: accept a part of the model, such as all but its class layer, and an
            encoder with another schedule (:func:`warm_start`).

    Returns:
        Lines that say what was converted; none for a checkpoint of the same model.

    Raises:
        InputError: The weights do not fit, or the config must state something else for them.
    """
    foreign: ForeignFile | None = checkpoint.pop(FOREIGN, None)
    lines = []
    if foreign is not None:
        lines = _convert(model, checkpoint, foreign, source, config, classes, partial)
    if partial:
        start = warm_start(model, state_dict_of(checkpoint))
        # What a conversion leaves out, its lines have said.
        checkpoint["state_dict"] = start.fitting(model) if foreign else start.weights
        lines += start.lines(source)
    return lines


def _convert(
    model: nn.Module,
    checkpoint: dict,
    foreign: ForeignFile,
    source: str,
    config: Config | None,
    classes: Sequence[str] | None,
    partial: bool,
) -> list[str]:
    assert foreign.kind is not None
    partial = partial or SOURCES[foreign.kind].is_backbone
    try:
        result = convert_for_config(foreign, config, model.state_dict(), partial, classes, source)
    except InputError as error:  # its last advice is an option of tools/convert.py only
        raise InputError(str(error).partition(", or --partial")[0]) from error
    checkpoint["state_dict"] = result.weights | (result.unfit if partial else {})
    # Things and stuff of a panoptic model stand in an order that the source does not know.
    names = foreign.classes or ()
    if names and None not in names and not hasattr(model, "panoptic_head"):
        checkpoint["meta"]["dataset_meta"] = {"classes": names}
    return [f"{source} is converted", *(f"  {line}" for line in result.lines())]
