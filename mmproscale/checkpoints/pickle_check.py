"""Check of a torch file before torch reads it: names in its pickles, work and memory they ask for.

torch's weights-only unpickler runs no foreign code, but a file of a few bytes can keep it busy for
ever: a tuple of shared tuples that serves as a key has 2^40 values to hash, and storages may claim
more bytes than the file has. So the pickles first run with stand-ins, which only count.
"""

import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch._weights_only_unpickler import _get_allowed_globals

from mmproscale.checkpoints.inert_readers import ALLOWED, NotDataError

ZIP_MAGIC = b"PK\x03\x04"
MAX_OPERATIONS = 500_000
"""Operations of a file's pickles; a parameter with its averages and AdamW's state takes 190."""
MAX_KEY = 100
"""Values in a key of a dict, or in the description of a storage."""

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
_CONSTANTS = {
    *("NONE", "NEWFALSE", "NEWTRUE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINSTRING", "BINSTRING"),
}
_ITEM_SIZES = dict(Short=2, Half=2, BFloat16=2, Int=4, Float=4)
_ITEM_SIZES |= dict(Long=8, Double=8, ComplexFloat=8, ComplexDouble=16)
_EMPTY = ("EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET")
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_FILLING = {"APPEND": 1, "SETITEM": 2, "BUILD": 1}


class _Name(str):
    """Name of a function or class in a pickle."""


@dataclass(slots=True)
class _Group:
    """Stand-in for a tuple, list, dict or object: its items, and the values below it.

    `size` counts a shared value as often as it is reached.
    """

    items: list[Any] = field(default_factory=list)
    size: int = 1

    def add(self, items: list[Any]) -> None:
        self.items += items
        self.size += sum(map(_size, items))


def _size(value: Any) -> int:
    return value.size if isinstance(value, _Group) else 1


class _DryRun:
    """Run of a pickle's operations with stand-ins for everything that they build.

    Args:
        file: The pickle's file.
        records: Name -> bytes of the storages in the file; None where the pickle states them.
    """

    def __init__(self, file: Path, records: dict[str, int] | None) -> None:
        self.room, self.records = file.stat().st_size, records
        self.storages: set[Any] = set()
        self.claimed = self.operations = 0

    def run(self, stream: BytesIO | Any) -> None:
        """Run one pickle.

        Raises:
            NotDataError: It names something that is no data, or asks for too much.
            Exception: It is damaged.
        """
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        for operation, argument, _ in pickletools.genops(stream):
            self.operations += 1
            if self.operations > MAX_OPERATIONS:
                raise NotDataError(f"pickles of more than {MAX_OPERATIONS:,} operations")
            if operation.name in _CONSTANTS:
                self.stack.append(argument)
            elif operation.name in _APPLY:
                _APPLY[operation.name](self, operation.name, argument)
            elif operation.name not in ("PROTO", "FRAME", "STOP"):
                kind = operation.name
                raise NotDataError(f"the pickle operation {kind}, which torch.save does not write")

    def put(self, name: str, argument: int | None) -> None:
        self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]

    def get(self, name: str, argument: int) -> None:
        self.stack.append(self.memo[argument])

    def mark(self, name: str, argument: None) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def name(self, name: str, argument: str | None) -> None:
        text = ".".join(self._pop(2)) if argument is None else argument.replace(" ", ".", 1)
        self.stack.append(_allowed(text))

    def group(self, name: str, argument: None) -> None:
        """Make a tuple, or an empty list, dict or set."""
        items = self._marked() if name == "TUPLE" else self._pop(_TUPLES.get(name, 0))
        self._push_group(items)

    def fill(self, name: str, argument: None) -> None:
        """Put items into a list or dict, or give an object its state."""
        items = self._marked() if name.endswith("S") else self._pop(_FILLING[name])
        if name.startswith("SETITEM"):
            _check_keys(items[::2])
        self.stack[-1].add(items)

    def _pop(self, count: int) -> list[Any]:
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def _marked(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _push_group(self, items: list[Any]) -> None:
        group = _Group()
        group.add(items)
        self.stack.append(group)

    def call(self, name: str, argument: None) -> None:
        """Put a stand-in for the result on the stack."""
        function, arguments = self._pop(2)
        if not isinstance(function, _Name) or not (function in _CALLED or function in ALLOWED):
            shown = function if isinstance(function, _Name) else "no function"
            raise NotDataError(f"a call of `{shown}`, which is not data")
        if function == "_codecs.encode" and arguments.items[1] not in ("latin1", "latin-1"):
            raise NotDataError("text in an encoding other than latin1")
        if function in _CONTAINERS:
            for items in (group.items for group in arguments.items):
                # Old files give an OrderedDict a list of pairs.
                is_pairs = function == "collections.OrderedDict"
                _check_keys([pair.items[0] for pair in items] if is_pairs else items)
        self._push_group([function, *arguments.items])
        if self.stack[-1].size > MAX_OPERATIONS:
            raise NotDataError("lists that share their items too often")

    def storage(self, name: str, argument: None) -> None:
        """Check the bytes that a storage claims."""
        description = self.stack.pop()
        if _size(description) > MAX_KEY:
            raise NotDataError("a storage with a nested description")
        _, kind, key, _, count = description.items[:5]
        claimed = int(count) * _item_size(kind)
        held = self.room if self.records is None else self.records.get(f"data/{key}", 0)
        if key not in self.storages:
            self.storages.add(key)
            self.claimed += claimed
        if not 0 <= claimed <= held or self.claimed > self.room:
            raise ValueError(f"a storage of {claimed:,} bytes is not in the file")
        self.stack.append(description)


_APPLY: dict[str, Callable[[_DryRun, str, Any], None]] = {
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _DryRun.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _DryRun.get),
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL"), _DryRun.name),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _DryRun.call),
    **dict.fromkeys((*_EMPTY, "TUPLE", *_TUPLES), _DryRun.group),
    **dict.fromkeys((*_FILLING, "APPENDS", "SETITEMS"), _DryRun.fill),
    "MARK": _DryRun.mark,
    "BINPERSID": _DryRun.storage,
}


def _check_keys(keys: list[Any]) -> None:
    if any(_size(key) > MAX_KEY for key in keys):
        raise NotDataError("a key of nested tuples")


def _allowed(name: str) -> _Name:
    name = name.replace("__builtin__.", "builtins.", 1)
    for part, kind in _KINDS.items():
        if name.startswith("torch.") and part in name:
            raise NotDataError(kind)
    if name not in ALLOWED and name not in _CALLED and not _is_storage_or_dtype(name):
        # `os.system` is pickled under the module that implements it.
        shown = name.replace("posix.", "os.", 1).replace("nt.", "os.", 1)
        raise NotDataError(f"`{shown}`, which is not data")
    return _Name(name)


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
    with file.open("rb") as stream:
        if stream.read(len(ZIP_MAGIC)) == ZIP_MAGIC:
            pickle, records = _read_archive(file)
            _DryRun(file, records).run(BytesIO(pickle))
            return
        stream.seek(0)
        check = _DryRun(file, None)
        # Old format: magic number, protocol, system, content, keys of the storages.
        for _ in range(5):
            check.run(stream)


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
