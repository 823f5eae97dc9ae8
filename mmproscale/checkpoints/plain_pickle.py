"""Reading of plain pickles, such as detectron2's .pkl, as dicts, lists, numbers, text and arrays.

Python's unpickler calls everything that a file names. Ours knows only the few names that NumPy
writes, each bound to a reader of `inert_readers`, and refuses all others.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from mmproscale.checkpoints.inert_readers import ALLOWED, ArrayReader, DtypeReader, NotDataError
from mmproscale.checkpoints.plain_content import plain_copy

_KEYS = (str, bytes, int, float)


def _bytes_of(text: str, encoding: str = "latin1") -> bytes:
    """Return the bytes that Python 2's protocol writes as text."""
    if encoding != "latin1" or not isinstance(text, str):
        raise NotDataError(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Return the empty bytes, which protocol 2 writes as a call."""
    return b""


def _from_buffer(raw: Any, dtype: DtypeReader, shape: tuple, order: str) -> ArrayReader:
    """Return the reader of an array that protocol 5 writes."""
    reader = ArrayReader()
    reader.state = (1, shape, dtype, order == "F", raw)
    return reader


def _ordered_dict(pairs: Any = ()) -> OrderedDict:
    """Return a dict of pairs, which Python 2 writes as an argument."""
    _check_keys([key for key, _ in pairs])
    return OrderedDict(pairs)


def _check_keys(keys: list[Any]) -> None:
    """Refuse keys other than numbers and text: to hash nested tuples can take for ever."""
    for key in keys:
        if not isinstance(key, _KEYS):
            raise NotDataError(f"a {type(key).__name__} as a key")


_NAMES: dict[str, Any] = {
    **{name: reader for name, reader in ALLOWED.items() if name.startswith("numpy.")},
    "collections.OrderedDict": _ordered_dict,
    "_codecs.encode": _bytes_of,
    "builtins.bytes": _no_bytes,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
}


# In Python's own implementation, since C's reserves memory for all memo entries that a file claims.
class PlainUnpickler(pickle._Unpickler):  # type: ignore[name-defined]
    """Unpickler that builds dicts, lists, numbers, text and NumPy arrays, and nothing else."""

    stack: list[Any]
    check_keys = staticmethod(_check_keys)
    # Sets hash their items.
    dispatch: ClassVar[dict[int, Any]] = {
        code: load
        for code, load in pickle._Unpickler.dispatch.items()  # type: ignore[attr-defined]
        if code not in (pickle.EMPTY_SET[0], pickle.ADDITEMS[0], pickle.FROZENSET[0])
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return our reader for a name.

        Raises:
            NotDataError: The name is not one of NumPy's arrays.
        """
        # Python 2's name, and the module that implements `os`.
        module = {"__builtin__": "builtins", "posix": "os", "nt": "os"}.get(module, module)
        known = _NAMES.get(f"{module}.{name}")
        if known is None:
            raise NotDataError(f"`{module}.{name}`, which is not data")
        return known

    def persistent_load(self, pid: Any) -> Any:
        """Refuse objects that lie outside the file.

        Raises:
            NotDataError: Always.
        """
        raise NotDataError("a reference to an object outside the file")

    def load_build(self) -> None:
        """Set the state of a reader, and drop the state of a dict.

        Raises:
            NotDataError: The object has no state that is data.
        """
        if isinstance(self.stack[-2], OrderedDict):
            self.stack.pop()
            return
        if not isinstance(self.stack[-2], (ArrayReader, DtypeReader)):
            raise NotDataError(f"the state of a {type(self.stack[-2]).__name__}")
        super().load_build()  # type: ignore[misc]

    def load_setitem(self) -> None:
        """Put an item into a dict.

        Raises:
            NotDataError: Its key is neither a number nor text.
        """
        self.check_keys(self.stack[-2:-1])
        super().load_setitem()  # type: ignore[misc]

    def load_setitems(self) -> None:
        """Put items into a dict; errors as in `load_setitem`."""
        self.check_keys(self.stack[::2])
        super().load_setitems()  # type: ignore[misc]

    def load_dict(self) -> None:
        """Make a dict of items; errors as in `load_setitem`."""
        self.check_keys(self.stack[::2])
        super().load_dict()  # type: ignore[misc]

    dispatch |= {
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
    }


def read_plain_pickle(file: Path) -> Any:
    """Return the content of a plain pickle, with its arrays as tensors.

    Raises:
        NotDataError: The file names anything but plain data and arrays.
        Exception: The file is damaged; its reader raises many kinds.
    """
    with file.open("rb") as stream:
        content = PlainUnpickler(stream, encoding="latin1").load()
    return _with_tensors(plain_copy(content))


def _with_tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tensors(item) for key, item in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(value.astype(value.dtype.newbyteorder("="), copy=False))
    return value
