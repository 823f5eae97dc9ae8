"""Check of a torch file before torch reads it: names in its pickles, work and memory they ask for.

torch's weights-only unpickler runs no foreign code, but a file of a few bytes can keep it busy for
ever: a tuple of shared tuples that serves as a key has 2^40 values to hash, and storages may claim
more bytes than the file has. So our own unpickler reads the pickles first, and makes stand-ins for
objects and tensors.
"""

import pickletools
import zipfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch._weights_only_unpickler import _get_allowed_globals

from mmproscale.checkpoints.inert_readers import ALLOWED, NotDataError
from mmproscale.checkpoints.plain_pickle import PlainUnpickler

ZIP_MAGIC = b"PK\x03\x04"
MAX_OPERATIONS = 500_000
"""Operations of a file's pickles; a parameter with its averages and AdamW's state takes 190."""
MAX_KEY = 100
"""Values in a key of a dict, in an argument of a call, and in the description of a storage."""

# Of the functions and classes that torch allows, those that checkpoints of dense tensors need.
_CALLED = {
    "_codecs.encode",
    "builtins.complex",
    "builtins.set",
    "collections.Counter",
    "collections.OrderedDict",
    "torch.Size",
    "torch.device",
    "torch.nn.parameter.Parameter",
    "torch.serialization._get_layout",
    "torch.storage.UntypedStorage",
    *(f"torch._utils._rebuild_{kind}" for kind in ("tensor", "tensor_v2", "tensor_v3")),
    *(f"torch._utils._rebuild_{kind}" for kind in ("parameter", "parameter_with_state")),
}
_CONTAINERS = {"builtins.set", "collections.Counter", "collections.OrderedDict"}
# Parts of the names of tensors that have no plain values.
_KINDS = {
    "sparse": "a sparse tensor",
    "meta": "a meta tensor, which has no values",
    "nested": "a nested tensor",
    "qtensor": "a quantised tensor",
    ".QInt": "a quantised tensor",
    ".QUInt": "a quantised tensor",
}
_ITEM_SIZES = dict(Short=2, Half=2, BFloat16=2, Int=4, Float=4)
_ITEM_SIZES |= dict(Long=8, Double=8, ComplexFloat=8, ComplexDouble=16)
# The operations that torch's unpickler knows, and those by which newer protocols name functions.
_OPERATIONS = {
    *("PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "NEWOBJ", "BUILD", "BINPERSID"),
    *("NONE", "NEWFALSE", "NEWTRUE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINSTRING", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
    *("EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("APPEND", "APPENDS", "SETITEM", "SETITEMS"),
    *("FRAME", "MEMOIZE", "SHORT_BINUNICODE", "STACK_GLOBAL"),
}
_CODES = {operation.name: ord(operation.code) for operation in pickletools.opcodes}


class _Object:
    """Stand-in for an object; it takes items as a dict does."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def _check_keys(keys: Iterable[Any]) -> None:
    if any(map(_is_large, keys)):
        raise NotDataError("a key of nested tuples")


def _is_large(value: Any) -> bool:
    """Tell whether a value has more values below it than `MAX_KEY`, shared ones repeated."""
    waiting, count = [value], 0
    while waiting:
        part = waiting.pop()
        parts = part.arguments if isinstance(part, _Object) else part
        if isinstance(parts, (tuple, list)):
            count += len(parts)
            if count > MAX_KEY:
                return True
            waiting += parts
    return False


class _Name(str):
    """Name of a function or class in a pickle; a call of it gives a stand-in."""

    def __call__(self, *arguments: Any) -> _Object:
        if self not in _CALLED and self not in ALLOWED:
            raise NotDataError(f"a call of `{self}`, which is not data")
        if self == "_codecs.encode" and arguments[1] not in ("latin1", "latin-1"):
            raise NotDataError("text in an encoding other than latin1")
        if self in _CONTAINERS:
            for items in arguments:
                # Old files give an OrderedDict a list of pairs.
                is_pairs = self == "collections.OrderedDict"
                _check_keys(key for key, _ in items) if is_pairs else _check_keys(items)
        elif any(map(_is_large, arguments)):
            raise NotDataError(f"a call of `{self}` with nested arguments")
        return _Object(*arguments)


class _Operations(dict):
    """Operation's code -> the unpickler's method; counts how often one is asked for."""

    count = 0

    def __getitem__(self, code: int) -> Any:
        self.count += 1
        if self.count > MAX_OPERATIONS:
            raise NotDataError(f"pickles of more than {MAX_OPERATIONS:,} operations")
        if code not in self:
            name = next((name for name, known in _CODES.items() if known == code), code)
            raise NotDataError(f"the pickle operation {name}, which torch.save does not write")
        return super().__getitem__(code)


class _DryRun(PlainUnpickler):
    """Unpickler that makes dicts, lists, numbers and text, and stand-ins for everything else.

    Args:
        stream: The pickle.
        room: Size of the file in bytes.
        records: Name -> bytes of the storages in the file; None where the pickle states them.
        operations: Those of all pickles of the file.
    """

    check_keys = staticmethod(_check_keys)

    def __init__(
        self, stream: Any, room: int, records: dict[str, int] | None, operations: _Operations
    ) -> None:
        super().__init__(stream, encoding="latin1")
        self.room, self.records, self.dispatch = room, records, operations  # type: ignore[misc]
        self.storages: set[str] = set()
        self.claimed = 0

    def find_class(self, module: str, name: str) -> _Name:
        """Return a name that a checkpoint may have.

        Raises:
            NotDataError: It may not.
        """
        path = f"{module}.{name}".replace("__builtin__.", "builtins.", 1)
        for part, kind in _KINDS.items():
            if path.startswith("torch.") and part in path:
                raise NotDataError(kind)
        if path not in ALLOWED and path not in _CALLED and not _is_storage_or_dtype(path):
            # `os.system` is pickled under the module that implements it.
            shown = path.replace("posix.", "os.", 1).replace("nt.", "os.", 1)
            raise NotDataError(f"`{shown}`, which is not data")
        return _Name(path)

    def load_build(self) -> None:
        """Drop the state of an object, in which torch may take a list for pairs of key and value.

        Raises:
            NotDataError: It is nested.
        """
        if _is_large(self.stack.pop()):
            raise NotDataError("an object with a nested state")

    def persistent_load(self, pid: Any) -> _Object:
        """Check the bytes that a storage claims.

        Raises:
            NotDataError: Its description is nested.
            ValueError: They are not in the file.
        """
        if _is_large(pid):
            raise NotDataError("a storage with a nested description")
        _, kind, key, _, count = pid[:5]
        claimed = int(count) * _item_size(kind)
        held = self.room if self.records is None else self.records.get(f"data/{key}", 0)
        if key not in self.storages:
            self.storages.add(key)
            self.claimed += claimed
        if not 0 <= claimed <= held or self.claimed > self.room:
            raise ValueError(f"a storage of {claimed:,} bytes is not in the file")
        return _Object()


_METHODS = {_CODES[name]: PlainUnpickler.dispatch[_CODES[name]] for name in _OPERATIONS}
_METHODS[_CODES["BUILD"]] = _DryRun.load_build
_METHODS[_CODES["NEWOBJ"]] = _METHODS[_CODES["REDUCE"]]


def _is_storage_or_dtype(name: str) -> bool:
    known = _get_allowed_globals().get(name)
    return isinstance(known, torch.dtype) or (known is not None and name.endswith("Storage"))


def _item_size(kind: str) -> int:
    # An untyped storage states its size in bytes.
    return _ITEM_SIZES.get(kind.rsplit(".", 1)[-1].removesuffix("Storage"), 1)


def check_pickles(file: Path) -> None:
    """Check the pickles of a file of torch.save, in the new format or the old.

    Raises:
        NotDataError: The file holds something other than data, or asks for more work or memory
            than it has content for.
        Exception: The file is damaged; the kind depends on the damage.
    """
    room, operations = file.stat().st_size, _Operations(_METHODS)
    with file.open("rb") as stream:
        if stream.read(len(ZIP_MAGIC)) == ZIP_MAGIC:
            pickle, records = _read_archive(file)
            _DryRun(BytesIO(pickle), room, records, operations).load()
            return
        stream.seek(0)
        # Old format: magic number, protocol, system, content, keys of the storages.
        for _ in range(5):
            _DryRun(stream, room, None, operations).load()


def _read_archive(file: Path) -> tuple[bytes, dict[str, int]]:
    """Return the pickle of an archive, and the bytes of each of its records.

    Python's module and torch's reader must find the same content in the archive, so other forms
    than that of torch.save are refused.
    """
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                raise NotDataError(f"compressed content ({entry.filename})")
        sizes = {entry.filename.partition("/")[2].lower(): entry.file_size for entry in entries}
        is_plain = not archive.comment and any(entry.header_offset == 0 for entry in entries)
        if len(sizes) < len(entries) or sum(sizes.values()) > file.stat().st_size or not is_plain:
            raise NotDataError("an archive of another form than torch.save writes")
        name = next(n for n in archive.namelist() if n.partition("/")[2] == "data.pkl")
        return archive.read(name), sizes
