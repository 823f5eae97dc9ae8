"""Calls that make the host wait for the GPU, counted on a CPU."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

FROM_HOST = ("tensor", "new_tensor", "as_tensor", "from_numpy")
TO_HOST = ("cpu", "numpy", "item", "tolist", "__bool__", "__int__", "__float__", "__index__")
UNKNOWN_SIZE = ("unique", "nonzero", "masked_select", "bincount", "argwhere")
WAITS = frozenset((*FROM_HOST, *TO_HOST, *UNKNOWN_SIZE))


class WaitCounter(TorchFunctionMode):
    """Counter of such calls by name, inside operators of ours and in the backward pass too."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()

    def __torch_function__(
        self, func: Callable, types: Iterable, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in WAITS:
            self.waits[name] += 1
        if name == "__getitem__" and selects_by_mask(args[1]):
            self.waits["mask"] += 1
        return func(*args, **(kwargs or {}))


def selects_by_mask(index: Any) -> bool:
    """Return True for an index with a boolean tensor, whose result has an unknown size."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, Tensor) and part.dtype == torch.bool for part in parts)


def waits_of(function: Callable[[], Any]) -> dict[str, int]:
    """Return the counts of a second call: the first fills caches."""
    function()
    with WaitCounter() as counter:
        function()
    return dict(counter.waits)
