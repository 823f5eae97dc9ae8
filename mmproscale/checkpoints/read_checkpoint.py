"""Reading of checkpoint files, as data only: code in a file is refused by name and never runs."""

import os
import pickletools
import zipfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import serialization

from mmproscale.checkpoints.inert_readers import ALLOWED, NotDataError, restore
from mmproscale.checkpoints.plain_pickle import read_plain_pickle
from mmproscale.checkpoints.weights_header import check_header, read_header
from mmproscale.errors import InputError

_ZIP_MAGIC = b"PK\x03\x04"
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
    _check_format(file)
    return _read_torch(file, location)


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


def _check_format(file: Path) -> None:
    start = _first_bytes(file)
    if start.startswith((_ZIP_MAGIC, _LEGACY_MAGIC, _PICKLE_OPCODE)):
        return
    if not start:
        raise InputError(f"{file} is empty: it was probably cut off when it was written")
    raise InputError(
        f"{file} is not a checkpoint: torch.save, safetensors and pickle did not write it"
    )


def _first_bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(len(_LEGACY_MAGIC))
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error


def _is_plain_pickle(file: Path) -> bool:
    return not _first_bytes(file).startswith((_ZIP_MAGIC, _LEGACY_MAGIC))


def _read_torch(file: Path, location: Any) -> Any:
    try:
        if _is_plain_pickle(file):
            return read_plain_pickle(file)
        with _only_our_allow_list():
            return restore(torch.load(file, map_location=location, weights_only=True))
    except torch.OutOfMemoryError:
        raise
    except NotDataError as error:
        raise InputError(f"{file} holds {error}; refused. {_ADVICE}") from error
    except Exception as error:  # a damaged file can raise anything
        raise InputError(_why_unreadable(file, error)) from error


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


def _why_unreadable(file: Path, error: Exception) -> str:
    for name in refused_names(file):
        return f"{file} holds `{name}`, which is not data; refused. {_ADVICE}"
    first_line = str(error).split("\n", 1)[0].split(". ", 1)[0]
    return (
        f"{file} is truncated or damaged and cannot be read: {first_line or type(error).__name__}"
    )


def refused_names(file: Path) -> list[str]:
    """Return the functions and classes that a torch file names and that are not allowed.

    The file is disassembled, not loaded. A damaged file gives the names up to the damage.
    """
    from torch._weights_only_unpickler import _get_allowed_globals

    names: list[str] = []
    for name in _named_globals(file):
        if name not in ALLOWED and name not in _get_allowed_globals() and name not in names:
            names.append(name)
    # `os.system` is pickled under the module that implements it.
    return [name.replace("posix.", "os.", 1).replace("nt.", "os.", 1) for name in names]


def _named_globals(file: Path) -> Iterator[str]:
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(_pickle_of(file)):
            if opcode.name == "GLOBAL":
                yield str(argument).replace(" ", ".", 1).replace("__builtin__.", "builtins.", 1)
            elif opcode.name == "STACK_GLOBAL":
                yield ".".join(strings[-2:])
            elif isinstance(argument, str):
                strings.append(argument)
    except Exception:  # the file is cut off here
        return


def _pickle_of(file: Path) -> bytes | BytesIO:
    if not zipfile.is_zipfile(file):
        stream = BytesIO(file.read_bytes())
        # Old format: three pickles come first (magic number, protocol, system information).
        for _ in range(3):
            deque(pickletools.genops(stream), maxlen=0)
        return stream
    with zipfile.ZipFile(file) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        return archive.read(name)


def _read_safetensors(file: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    header = read_header(file)
    weights = load_file(file, device="cpu")
    if header is not None:
        check_header(header, weights, file)
    return {"state_dict": weights, "meta": header.meta if header else {}}


def as_checkpoint(content: Any, file: Path) -> dict:
    """Return a file's content as `load_checkpoint` does.

    Raises:
        InputError: It is not a checkpoint.
    """
    if not isinstance(content, dict) or not content:
        raise InputError(
            f"{file} is not a checkpoint: it holds a {type(content).__name__}, no weights"
        )
    if "state_dict" not in content and isinstance(content.get("model"), dict):
        content["state_dict"] = content["model"]
    weights = content.get("state_dict", content)
    if not isinstance(weights, dict) or not _has_tensors(weights):
        raise InputError(f"{file} is not a checkpoint: it has neither 'state_dict' nor tensors")
    if isinstance(content.get("meta"), dict):
        # On resume mmengine runs the text under this key as a Python config. Our files do not have
        # it, and the content of a checkpoint must never run.
        content["meta"].pop("config", None)
    return content


def _has_tensors(weights: dict) -> bool:
    return all(isinstance(key, str) for key in weights) and any(
        isinstance(value, torch.Tensor) for value in weights.values()
    )
