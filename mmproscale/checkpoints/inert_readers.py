"""What a checkpoint may hold beyond tensors, read as inert data.

torch's weights-only unpickler calls what it is allowed to call. So instead of allowing numpy's and
mmengine's own constructors, each name on the list below is bound to a reader of ours that only
keeps what the file says; `restore` then checks that and builds the real objects. `getattr`, by
which mmengine's checkpoints name the methods of a few classes, can name just those.
"""

from collections import OrderedDict
from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

# numpy types whose bytes are values: bool, (unsigned) integer, float, complex, text, bytes.
_VALUE_KINDS = "biufcUS"


class NotDataError(ValueError):
    """A file holds what is not plain data; the message says what."""


class DtypeReader:
    """A numpy type: its code, and its byte order once `__setstate__` has told it."""

    byte_order: Any = "="

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        self.code = code

    def __setstate__(self, state: tuple) -> None:
        self.byte_order = state[1]

    def restore(self) -> np.dtype:
        """Return the numpy type.

        Raises:
            NotDataError: it is not a type of plain values, such as an object or a record.
        """
        if not isinstance(self.code, str) or self.byte_order not in ("<", ">", "|", "="):
            raise NotDataError(f"an unknown numpy type, {self.code!r}")
        dtype = np.dtype(self.code).newbyteorder(self.byte_order)
        if dtype.kind not in _VALUE_KINDS:
            raise NotDataError(f"a numpy array of {dtype}, which is not plain data")
        return dtype


class ArrayReader:
    """A numpy array: shape, type, order and bytes."""

    state: tuple | None = None

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def restore(self) -> np.ndarray:
        """Return the array, a copy that can be written to."""
        if self.state is None or not isinstance(self.state[2], DtypeReader):
            raise NotDataError("a numpy array without a type")
        _, shape, dtype, is_fortran, raw = self.state
        values = np.frombuffer(raw, dtype.restore()).copy()
        return values.reshape(shape, order="F" if is_fortran else "C")


class ScalarReader:
    """A numpy scalar: type and bytes."""

    def __init__(self, dtype: DtypeReader, raw: bytes) -> None:
        self.dtype, self.raw = dtype, raw

    def restore(self) -> np.generic:
        """Return the scalar."""
        if not isinstance(self.dtype, DtypeReader):
            raise NotDataError("a numpy scalar without a type")
        return np.frombuffer(self.raw, self.dtype.restore())[0]


class HistoryReader:
    """mmengine's HistoryBuffer: the values of a log and their counts."""

    state: dict | None = None

    def __setstate__(self, state: dict) -> None:
        self.state = state

    def restore(self) -> HistoryBuffer:
        """Return the buffer. Its statistics are the class's own, whatever the file says."""
        state = self.state if isinstance(self.state, dict) else {}
        fields = [restore(state.get(key)) for key in ("_log_history", "_count_history")]
        if not all(isinstance(field, np.ndarray) for field in fields):
            raise NotDataError("a HistoryBuffer without its arrays")
        return HistoryBuffer(*fields, max_length=int(state.get("max_length", 1000000)))


class ConfigReader:
    """mmengine's ConfigDict, as a metainfo may hold one: a plain dict will do."""

    def __init__(self, items: dict) -> None:
        self.items = items

    def restore(self) -> dict:
        """Return the items."""
        return {key: restore(value) for key, value in dict(self.items).items()}


class NamespaceReader:
    """argparse's Namespace, a training run's command line: a plain dict will do."""

    state: dict | None = None

    def __setstate__(self, state: dict) -> None:
        self.state = state

    def restore(self) -> dict:
        """Return the options."""
        return {key: restore(value) for key, value in dict(self.state or {}).items()}


class _ClassName:
    """A class that a file may name, but neither call nor build."""


class _OneCycleName(_ClassName):
    """Stands for OneCycleParamScheduler."""


# The only attributes that a file can ask for: (class named in the file, attribute) -> what it is.
_ATTRIBUTES: dict[tuple[type, str], Any] = {
    **{(HistoryReader, name): None for name in ("min", "max", "current", "mean")},
    (_OneCycleName, "_annealing_cos"): OneCycleParamScheduler._annealing_cos,
    (_OneCycleName, "_annealing_linear"): OneCycleParamScheduler._annealing_linear,
}


class AttributeReader:
    """What `getattr(class, name)` in a file comes to: a look-up in the table above."""

    def __init__(self, owner: type, name: str) -> None:
        if not isinstance(name, str) or (owner, name) not in _ATTRIBUTES:
            raise NotDataError(f"`getattr` of {name!r}, which is not data")
        self.key = (owner, name)

    def restore(self) -> Any:
        """Return the attribute."""
        return _ATTRIBUTES[self.key]


def _new_array(*_: Any) -> ArrayReader:
    return ArrayReader()


_READERS = (
    DtypeReader,
    ArrayReader,
    ScalarReader,
    HistoryReader,
    ConfigReader,
    NamespaceReader,
    AttributeReader,
)

# Name in the file -> reader. numpy 1 and 2 keep their functions in different modules.
ALLOWED: dict[str, Any] = {
    "builtins.getattr": AttributeReader,
    "numpy.dtype": DtypeReader,
    "numpy.ndarray": ArrayReader,
    "numpy.core.multiarray._reconstruct": _new_array,
    "numpy._core.multiarray._reconstruct": _new_array,
    "numpy.core.multiarray.scalar": ScalarReader,
    "numpy._core.multiarray.scalar": ScalarReader,
    "mmengine.logging.history_buffer.HistoryBuffer": HistoryReader,
    "mmengine.config.config.ConfigDict": ConfigReader,
    "mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler": _OneCycleName,
    # What published checkpoints keep of their training: DINO's options, MoBY's and Swin's config.
    "argparse.Namespace": NamespaceReader,
    # A dict of a class of its own, filled item by item, which torch allows for dicts alone.
    "yacs.config.CfgNode": OrderedDict,
}


def restore(value: Any) -> Any:
    """Return `value` with every reader in it, however deep, replaced by what it stands for.

    Raises:
        NotDataError: a reader holds what is not plain data.
    """
    if isinstance(value, _READERS):
        return value.restore()
    if isinstance(value, (dict, OrderedDict)):
        # In place: a state dict carries its `_metadata` as an attribute.
        for key in value:
            value[key] = restore(value[key])
        return value
    if type(value) in (list, tuple):
        return type(value)(restore(item) for item in value)
    return value
