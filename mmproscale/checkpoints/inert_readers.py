"""Readers of the objects other than tensors that a checkpoint may hold.

torch's weights-only unpickler calls every name that it is allowed to call. So each allowed name is
bound to a reader of ours, which only keeps the file's values; its `restore` then checks them and
builds the real object. mmengine's checkpoints name methods of a few classes by `getattr`; no other
methods can be named.
"""

from collections import OrderedDict
from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

# Kinds of numpy types with plain values: bool, (unsigned) integer, float, complex, text, bytes.
_VALUE_KINDS = "biufcUS"


class NotDataError(ValueError):
    """Error for content that is not plain data; the message names the content."""


class DtypeReader:
    """Reader of a numpy type: its code, and its byte order from `__setstate__`."""

    byte_order: Any = "="

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        self.code = code

    def __setstate__(self, state: tuple) -> None:
        self.byte_order = state[1]

    def restore(self) -> np.dtype:
        """Return the numpy type.

        Raises:
            NotDataError: The type is unknown, or its values are not plain, such as objects.
        """
        if not isinstance(self.code, str) or self.byte_order not in ("<", ">", "|", "="):
            raise NotDataError(f"an unknown numpy type, {self.code!r}")
        dtype = np.dtype(self.code).newbyteorder(self.byte_order)
        if dtype.kind not in _VALUE_KINDS:
            raise NotDataError(f"a numpy array of {dtype}, which is not plain data")
        return dtype


class ArrayReader:
    """Reader of a numpy array: shape, type, order and bytes."""

    state: tuple | None = None

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def restore(self) -> np.ndarray:
        """Return the array as a writable copy."""
        if self.state is None or not isinstance(self.state[2], DtypeReader):
            raise NotDataError("a numpy array without a type")
        _, shape, dtype, is_fortran, raw = self.state
        if isinstance(raw, str):  # written by Python 2
            raw = raw.encode("latin1")
        values = np.frombuffer(raw, dtype.restore()).copy()
        return values.reshape(shape, order="F" if is_fortran else "C")


class ScalarReader:
    """Reader of a numpy scalar: type and bytes."""

    def __init__(self, dtype: DtypeReader, raw: bytes) -> None:
        self.dtype, self.raw = dtype, raw

    def restore(self) -> np.generic:
        """Return the scalar."""
        if not isinstance(self.dtype, DtypeReader):
            raise NotDataError("a numpy scalar without a type")
        return np.frombuffer(self.raw, self.dtype.restore())[0]


class HistoryReader:
    """Reader of mmengine's HistoryBuffer: the values of a log and their counts."""

    state: dict | None = None

    def __setstate__(self, state: dict) -> None:
        self.state = state

    def restore(self) -> HistoryBuffer:
        """Return the buffer; the file's own statistics methods are ignored."""
        state = self.state if isinstance(self.state, dict) else {}
        log, count = state.get("_log_history"), state.get("_count_history")
        if not isinstance(log, ArrayReader) or not isinstance(count, ArrayReader):
            raise NotDataError("a HistoryBuffer without its arrays")
        values, counts = log.restore(), count.restore()
        shapes_fit = values.ndim == 1 and values.shape == counts.shape
        if not shapes_fit or {values.dtype.kind, counts.dtype.kind} - set("biuf"):
            raise NotDataError("a HistoryBuffer whose arrays are no lists of numbers")
        length = state.get("max_length")
        if type(length) is not int or length < len(values):
            raise NotDataError("a HistoryBuffer without its length")
        return HistoryBuffer(values, counts, max_length=length)


class DictReader:
    """Reader of mmengine's ConfigDict and argparse's Namespace, which become plain dicts."""

    items: dict | None = None

    def __init__(self, items: dict) -> None:
        self.items = items

    def __setstate__(self, state: dict) -> None:
        self.items = state

    def restore(self) -> dict:
        """Return the items, which may be readers."""
        if not isinstance(self.items, dict):
            raise NotDataError("a config that is no dict")
        return self.items


class OneCycleName:
    """Placeholder of OneCycleParamScheduler: a file may name that class, but not call it."""


# The only attributes that a file can name: (class, attribute) -> its value. HistoryReader ignores
# the statistics methods that a file names.
_ATTRIBUTES: dict[tuple[type, str], Any] = {
    **{(HistoryReader, name): None for name in ("min", "max", "current", "mean")},
    (OneCycleName, "_annealing_cos"): OneCycleParamScheduler._annealing_cos,
    (OneCycleName, "_annealing_linear"): OneCycleParamScheduler._annealing_linear,
}

ANNEALING = tuple(value for value in _ATTRIBUTES.values() if value is not None)


class AttributeReader:
    """Reader of `getattr(class, name)`, which looks the attribute up in the table above."""

    def __init__(self, owner: type, name: str) -> None:
        if not isinstance(name, str) or (owner, name) not in _ATTRIBUTES:
            raise NotDataError(f"`getattr` of {name!r}, which is not data")
        self.key = (owner, name)

    def restore(self) -> Any:
        """Return the attribute."""
        return _ATTRIBUTES[self.key]


def _new_array(*_: Any) -> ArrayReader:
    return ArrayReader()


READERS = (DtypeReader, ArrayReader, ScalarReader, HistoryReader, DictReader, AttributeReader)

# Name in the file -> reader. numpy 1 and 2 have these functions in different modules.
ALLOWED: dict[str, Any] = {
    "builtins.getattr": AttributeReader,
    "numpy.dtype": DtypeReader,
    "numpy.ndarray": ArrayReader,
    "numpy.core.multiarray._reconstruct": _new_array,
    "numpy._core.multiarray._reconstruct": _new_array,
    "numpy.core.multiarray.scalar": ScalarReader,
    "numpy._core.multiarray.scalar": ScalarReader,
    "mmengine.logging.history_buffer.HistoryBuffer": HistoryReader,
    "mmengine.config.config.ConfigDict": DictReader,
    "mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler": OneCycleName,
    # Training options in published checkpoints: DINO's Namespace, MoBY's and Swin's CfgNode.
    "argparse.Namespace": DictReader,
    # CfgNode is a subclass of dict. torch sets items only in classes that it knows as dicts.
    "yacs.config.CfgNode": OrderedDict,
}
