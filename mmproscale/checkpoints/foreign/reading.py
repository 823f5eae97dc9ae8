"""Reading of published weights: a file, or a folder as transformers writes it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from mmproscale.checkpoints.foreign.class_lists import Names, hub_classes
from mmproscale.checkpoints.foreign.sources import recognise
from mmproscale.checkpoints.read_checkpoint import load_content
from mmproscale.checkpoints.weight_check import check_weights
from mmproscale.checkpoints.weights_file import lower_keys
from mmproscale.errors import InputError

# Files of a folder, best first, and the keys below which a file may hold its weights.
_WHOLE = ("model.safetensors", "pytorch_model.bin")
_INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_CONTAINERS = ("teacher", "state_dict", "model")


@dataclass(frozen=True)
class ForeignFile:
    """Published weights.

    Attributes:
        path: File or folder.
        weights: Key -> tensor, without a data-parallel wrapper's 'module.'.
        kind: Kind of the source, a key of `SOURCES`; None if it is unknown.
        classes: Classes by row, where the source names them.
        config: Content of config.json; empty without one.
    """

    path: Path
    weights: dict[str, Tensor]
    kind: str | None
    classes: Names | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


def read_foreign(path: str | os.PathLike) -> ForeignFile:
    """Read published weights as data only.

    Args:
        path: A file of torch.save, safetensors or detectron2 (.pkl), or a folder with config.json
            and weights in one file or in several with their index.

    Raises:
        InputError: Files are missing or damaged, or hold code or no weights.
    """
    file = Path(os.path.expanduser(path))
    return foreign_of(load_folder(file) if file.is_dir() else load_content(file), file)


def foreign_of(content: Any, file: Path) -> ForeignFile:
    """Return the published weights in the content of a file or folder.

    Raises:
        InputError: The content has no weights, or config.json in the same folder is damaged.
    """
    weights = _weights(content, file)
    kind = recognise(weights)
    of_hub = kind is not None and kind.startswith("huggingface")
    config = _config(file if file.is_dir() else file.parent) if of_hub else {}
    classes = hub_classes(config) or _classes_of_meta(content)
    return ForeignFile(file, weights, kind, classes, config)


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    if not file.is_file():
        return {}
    return _json(file)


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} is not a JSON object: give the file that came with the weights")
    return content


def load_folder(folder: Path) -> dict[str, Tensor]:
    """Return the weights in a folder as transformers writes it.

    Raises:
        InputError: The folder has no weights, or a file is missing or damaged.
    """
    whole = next((folder / name for name in _WHOLE if (folder / name).is_file()), None)
    if whole is not None:
        return tensors_of(load_content(whole))
    index = next((folder / name for name in _INDICES if (folder / name).is_file()), None)
    if index is None:
        names = ", ".join((*_WHOLE, *_INDICES))
        raise InputError(f"{folder} has no weights: none of {names} is there")
    return _shards(index)


def _shards(index: Path) -> dict[str, Tensor]:
    """Read the files that an index names. They must be in the folder of the index."""
    named = _json(index).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise InputError(f"{index} has no weight_map: fetch it again")
    outside = [name for name in named.values() if Path(str(name)).name != name]
    if outside:
        raise InputError(f"{index} names a file outside its folder, {outside[0]!r}; refused")
    weights: dict[str, Tensor] = {}
    for name in dict.fromkeys(named.values()):
        weights |= tensors_of(load_content(index.with_name(name)))
    missing = [key for key in named if key not in weights]
    if missing:
        raise InputError(
            f"{index} names {len(missing)} weights that its files lack (first: {missing[0]}): "
            "fetch the files again"
        )
    return weights


def _weights(content: Any, file: Path) -> dict[str, Tensor]:
    weights = tensors_of(content)
    if not weights:
        outline = ", ".join(map(str, content)) if isinstance(content, dict) else type(content)
        raise InputError(f"{file} holds no weights: found {outline or 'nothing'}")
    check_weights(weights, file, "its weights")
    return weights


def tensors_of(content: Any) -> dict[str, Tensor]:
    """Return a file's weights, without a data-parallel wrapper's 'module.'; empty without any.

    They are below the first container that has some (DINO's teacher before its student), or they
    are the content itself.
    """
    content = content if isinstance(content, dict) else {}
    for inner in (*(content.get(name) for name in _CONTAINERS), content):
        items = inner.items() if isinstance(inner, dict) else ()
        tensors = {k: v for k, v in items if isinstance(k, str) and isinstance(v, Tensor)}
        if tensors:
            return {key.removeprefix("module."): value for key, value in tensors.items()}
    return {}


def _classes_of_meta(content: Any) -> Names | None:
    """Return the class names that mmengine stores in a checkpoint's metadata."""
    meta = content.get("meta") if isinstance(content, dict) else None
    metainfo = meta.get("dataset_meta") if isinstance(meta, dict) else None
    classes = lower_keys(metainfo).get("classes")
    return tuple(classes) if classes else None
