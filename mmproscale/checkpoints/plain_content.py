"""Plain content of a checkpoint: dicts, lists, numbers, text, arrays and dense tensors, no more."""

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from mmproscale.checkpoints.inert_readers import ANNEALING, READERS, NotDataError

MAX_VALUES = 1_000_000
"""Values in a file, shared ones counted as often as they are reached."""
MAX_DEPTH = 50

_ATOMS = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
_OBJECTS = (np.ndarray, np.generic, HistoryBuffer)


def plain_copy(content: Any) -> Any:
    """Copy content into new containers, and replace each reader by the object it has read.

    The copy lacks attributes that a file sets on its dicts, and hooks of its tensors. An object
    that occurs several times in the file is one object in the copy.

    Raises:
        NotDataError: Something is not plain data; a list contains itself; lists are nested too
            deep, or share their items so often that a walk through them would not end.
    """
    return _Copy().of(content, 0)


class _Copy:
    """Copy in the making: id of an original -> its copy, and the number of values in it."""

    def __init__(self) -> None:
        self.done: dict[int, tuple[Any, int]] = {}
        self.size = 0

    def of(self, value: Any, depth: int) -> Any:
        """Return the copy, and add its values to `size`."""
        if id(value) not in self.done:
            outer, self.size = self.size, 0
            if depth > MAX_DEPTH:
                raise NotDataError(f"lists nested more than {MAX_DEPTH} deep, or within themselves")
            copy = self._new(value, depth + 1)
            # The file's own objects live as long as the copying does, so that ids stay theirs.
            self.done[id(value)] = copy, self.size + 1
            self.size = outer
        copy, size = self.done[id(value)]
        self.size += size
        if self.size > MAX_VALUES:
            raise NotDataError(f"lists of more than {MAX_VALUES:,} values, shared ones repeated")
        return copy

    def _new(self, value: Any, depth: int) -> Any:
        if isinstance(value, READERS):
            value = value.restore()
        if isinstance(value, torch.Tensor):
            return _dense(value)
        if isinstance(value, dict):
            return self._dict(value, depth)
        if isinstance(value, (list, tuple, set)):
            items = [self.of(item, depth) for item in value]
            return items if isinstance(value, list) else tuple(items)
        if type(value) in _ATOMS or isinstance(value, _OBJECTS) or value in ANNEALING:
            return value
        name = getattr(value, "__name__", type(value).__name__)
        raise NotDataError(f"`{name}`, which is not data")

    def _dict(self, value: dict, depth: int) -> dict:
        copy: dict = OrderedDict() if isinstance(value, OrderedDict) else {}
        for key in value:
            copied = self.of(key, depth)
            if not isinstance(copied, (*_ATOMS, np.generic, tuple)):
                raise NotDataError(f"a {type(copied).__name__} as a key")
            copy[copied] = self.of(value[key], depth)
        if isinstance(copy, OrderedDict) and "_metadata" in vars(value):
            copy._metadata = self._versions(vars(value)["_metadata"], depth)  # type: ignore
        return copy

    def _versions(self, metadata: Any, depth: int) -> dict[str, dict]:
        """Return the versions of a state dict's modules: path -> {'version': number}."""
        copy = self.of(metadata, depth)
        entries = list(copy.items()) if isinstance(copy, dict) else [(None, None)]
        for path, entry in entries:
            if not isinstance(path, str) or not isinstance(entry, dict):
                raise NotDataError("a `_metadata` that states no versions of modules")
            if not isinstance(entry.get("version"), (int, type(None))):
                raise NotDataError(f"a version of '{path}' that is no number")
        return copy


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_meta:
        raise NotDataError("a meta tensor, which has no values")
    if tensor.layout is not torch.strided or tensor.is_nested:
        raise NotDataError("a sparse or nested tensor")
    if tensor.is_quantized:
        raise NotDataError("a quantised tensor")
    tensor = tensor.detach()
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise NotDataError(f"a tensor of shape {tuple(tensor.shape)} with fewer values than that")
    # Plain, without the attributes of a subclass.
    return tensor if type(tensor) is torch.Tensor else tensor.as_subclass(torch.Tensor)
