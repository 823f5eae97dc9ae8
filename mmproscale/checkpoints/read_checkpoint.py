"""Reading of checkpoint files, as data only: code in a file is refused by name and never runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import serialization

from mmproscale.checkpoints.inert_readers import ALLOWED, NotDataError
from mmproscale.checkpoints.pickle_check import ZIP_MAGIC, check_pickles
from mmproscale.checkpoints.plain_content import plain_copy
from mmproscale.checkpoints.plain_pickle import read_plain_pickle
from mmproscale.checkpoints.weight_check import check_metadata, check_weights
from mmproscale.checkpoints.weights_file import check_header, read_class_names, read_header
from mmproscale.errors import InputError

# torch before 1.6 starts its files with this pickled number.
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PICKLE_OPCODE = b"\x80"
_ADVICE = "Use a file of weights only"


def load_checkpoint(path: str | Path, map_location: Any = None) -> dict:
    """Read a checkpoint: tensors and plain data.

    Args:
        path: A file of `torch.save` (new or old format) or of safetensors, with or without our
            header, whose classes are then under 'meta'.
        map_location: As in `torch.load`; None for the CPU.

    Returns:
        The file's dict. Weights under 'model' are also under 'state_dict'.

    Raises:
        InputError: The file is absent, truncated or no checkpoint, it holds code, or the header
            of a safetensors file of ours is wrong.
    """
    return as_checkpoint(load_content(path, map_location), Path(os.path.expanduser(path)))


def load_content(path: str | Path, map_location: Any = None) -> Any:
    """Read a file's content, which need not be a checkpoint; arguments as in `load_checkpoint`.

    Raises:
        InputError: The file is absent or truncated, or it holds code.
    """
    file = _existing_file(path)
    location = "cpu" if map_location is None else map_location
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    return _read_torch(file, _first_bytes(file), location)


def state_dict_of(checkpoint: dict) -> dict[str, torch.Tensor]:
    """Return the weights of a loaded checkpoint, without a data-parallel wrapper's 'module.'."""
    weights = checkpoint.get("state_dict", checkpoint)
    return {key.removeprefix("module."): value for key, value in weights.items()}


def _existing_file(path: str | Path) -> Path:
    file = Path(os.path.expanduser(path))
    if file.is_dir():
        raise InputError(f"{path} is a folder: give the checkpoint file in it")
    if not file.is_file():
        raise InputError(f"{path} not found: no checkpoint is there")
    return file


def _first_bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            start = stream.read(len(_LEGACY_MAGIC))
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    if not start:
        raise InputError(f"{file} is empty: it was probably cut off when it was written")
    if not start.startswith((ZIP_MAGIC, _LEGACY_MAGIC, _PICKLE_OPCODE)):
        raise InputError(
            f"{file} is not a checkpoint: torch.save, safetensors and pickle did not write it"
        )
    return start


def _read_torch(file: Path, start: bytes, location: Any) -> Any:
    try:
        if not start.startswith((ZIP_MAGIC, _LEGACY_MAGIC)):
            return read_plain_pickle(file)
        check_pickles(file)
        with _only_our_allow_list():
            return plain_copy(torch.load(file, map_location=location, weights_only=True))
    except torch.OutOfMemoryError:
        raise
    except NotDataError as error:
        raise InputError(f"{file} holds {error}; refused. {_ADVICE}") from error
    except Exception as error:  # a damaged file can raise anything
        reason = str(error).split("\n", 1)[0].split(". ", 1)[0] or type(error).__name__
        raise InputError(f"{file} is truncated or damaged and cannot be read: {reason}") from error


@contextmanager
def _only_our_allow_list() -> Iterator[None]:
    # Names that other packages have allowed, such as `getattr`, are not allowed here.
    others = serialization.get_safe_globals()
    serialization.clear_safe_globals()
    serialization.add_safe_globals([(reader, name) for name, reader in ALLOWED.items()])
    try:
        yield
    finally:
        serialization.clear_safe_globals()
        serialization.add_safe_globals(others)


def _read_safetensors(file: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    header = read_header(file)
    weights = load_file(file, device="cpu")
    if header is not None:
        check_header(header, weights, file)
        return {"state_dict": weights, "meta": header.meta}
    classes = read_class_names(file)
    return {
        "state_dict": weights,
        "meta": {"dataset_meta": {"classes": classes}} if classes else {},
    }


def as_checkpoint(content: Any, file: Path) -> dict:
    """Return a file's content as `load_checkpoint` does.

    Raises:
        InputError: It is not a checkpoint.
    """
    if not isinstance(content, dict) or not content:
        raise InputError(
            f"{file} is not a checkpoint: it holds a {type(content).__name__}, no weights"
        )
    if "state_dict" not in content:
        # A file may be the weights themselves, among other entries.
        tensors = {k: value for k, value in content.items() if isinstance(value, torch.Tensor)}
        content["state_dict"] = content["model"] if _is_dict(content, "model") else tensors
    if not _is_dict(content, "state_dict") or not content["state_dict"]:
        raise InputError(f"{file} is not a checkpoint: it has neither 'state_dict' nor tensors")
    for key in ("state_dict", "ema_state_dict"):
        check_weights(content.get(key, {}), file, key)
    check_metadata(content, file)
    # On resume mmengine runs the text under this key as a Python config. Our files do not have it,
    # and the content of a checkpoint must never run.
    (content.get("meta") or {}).pop("config", None)
    return content


def _is_dict(content: dict, key: str) -> bool:
    return isinstance(content.get(key), dict)
