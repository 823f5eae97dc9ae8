"""Check of any model's weights and metadata in a checkpoint: types, finite numbers, class names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.utils.faults import excerpt, is_int

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COUNTS = (torch.bool, torch.uint8, torch.int16, torch.int32, torch.int64)
"""Types of buffers, such as a batch norm's number of batches."""

# Names of parameters and statistics that are fractions in every layer.
_FRACTIONS = (".weight", ".bias", ".running_mean", ".running_var")
# RT-DETR's published files hold its anchors, infinite outside the image.
_MAY_BE_INFINITE = ("anchors",)
_OVERLAP = 4
"""Most views that may share a byte of a file's storages, averaged over the bytes."""


def check_weights(weights: Any, source: str | Path, key: str = "state_dict") -> None:
    """Check that weights are tensors of a type that models have, and finite.

    Args:
        weights: Name -> tensor.
        source: The file, for the message.
        key: The weights' key in the file, for the message.

    Raises:
        InputError: An entry is not such a tensor; the message names the file and the entry.
    """
    if not isinstance(weights, dict):
        raise InputError(f"{source}: {key} is a {type(weights).__name__}, not a dict of weights")
    for name, value in weights.items():
        fault = _fault(name, value)
        if fault:
            raise InputError(f"{source}: {key}[{excerpt(name)}] {fault}; use another file")
    _check_finite(weights, source, key)


def _fault(name: Any, value: Any) -> str | None:
    if not isinstance(name, str):
        return "is not the name of a weight"
    if not isinstance(value, Tensor):
        return None if name.endswith("_extra_state") else f"is a {type(value).__name__}, no tensor"
    kind = str(value.dtype).removeprefix("torch.")
    if value.dtype not in FLOATS + COUNTS:
        return f"is of type {kind}, which no model here has"
    if value.dtype in COUNTS and f".{name}".endswith(_FRACTIONS):
        return f"is of type {kind}, and weights are floating point"
    return None


def _check_finite(weights: Mapping[str, Any], source: str | Path, key: str) -> None:
    tensors = {n: w for n, w in weights.items() if isinstance(w, Tensor) and w.dtype in FLOATS}
    storages = {w.untyped_storage().data_ptr(): w.untyped_storage() for w in tensors.values()}
    room = _OVERLAP * sum(storage.nbytes() for storage in storages.values())
    seen: set[tuple] = set()
    broken = []
    for name, weight in tensors.items():
        view = (weight.data_ptr(), weight.dtype, weight.shape, weight.stride())
        if view not in seen:
            seen.add(view)
            room -= weight.numel() * weight.element_size()
            if room < 0:
                raise InputError(f"{source}: the weights of {key} overlap; use another file")
            if not name.endswith(_MAY_BE_INFINITE) and not is_finite(weight):
                broken.append(name)
    if broken:
        raise InputError(
            f"{source}: {len(broken)} of {len(weights)} weights of {key} are not finite (first: "
            f"{broken[0]}): use a checkpoint from before the training diverged"
        )


def is_finite(tensor: Tensor) -> bool:
    """Tell whether all values are finite, also as float32."""
    # A sum is fast and shows every NaN and infinity; it may overflow by itself.
    if tensor.sum(dtype=torch.float32).isfinite():
        return True
    return bool(tensor.float().isfinite().all())


def check_types(own: Mapping[str, Any], weights: Mapping[str, Any], source: str | Path) -> None:
    """Check that every weight fits into the type of the model's without a change of its value.

    Args:
        own: The model's state dict.
        weights: The file's.
        source: The file, for the message.

    Raises:
        InputError: A weight would change; names the file, the weight and both types.
    """
    for name, weight in weights.items():
        wanted = own.get(name)
        if not isinstance(wanted, Tensor) or not isinstance(weight, Tensor):
            continue
        if not fits_exactly(weight, wanted.dtype):
            found, kind = (str(t.dtype).removeprefix("torch.") for t in (weight, wanted))
            raise InputError(
                f"{source}: '{name}' is of type {found}, the model's is {kind}, and its values "
                f"would change; convert the file to {kind}"
            )


def fits_exactly(weight: Tensor, dtype: torch.dtype) -> bool:
    """Tell whether a cast to a type keeps every value, and keeps integers as integers."""
    kinds_fit = weight.is_floating_point() == dtype.is_floating_point
    if not kinds_fit or weight.dtype not in FLOATS + COUNTS:
        return False
    if torch.promote_types(weight.dtype, dtype) == dtype:
        return True
    return torch.equal(weight.to(dtype).to(weight.dtype), weight)


def check_metadata(checkpoint: dict, source: str | Path) -> None:
    """Check the part of a checkpoint's metadata that tests and predictions read.

    Raises:
        InputError: The metadata or the dataset's are no dict, or class names, colors or categories
            have another form; names file and key.
    """
    meta = checkpoint.get("meta")
    if meta is None:
        return
    _expect(isinstance(meta, dict), source, "meta", meta, "a dict")
    dataset = meta.get("dataset_meta")
    if dataset is None:
        return
    _expect(isinstance(dataset, dict), source, "meta.dataset_meta", dataset, "a dict")
    for key, value in dataset.items():
        _expect(isinstance(key, str), source, "meta.dataset_meta", key, "names as keys")
        form = _FORMS.get(key.lower())
        if form is not None and value is not None:
            is_of_form, expected = form
            where = f"meta.dataset_meta.{key}"
            # A palette may also be named.
            is_list = isinstance(value, (list, tuple)) and all(map(is_of_form, value))
            fits = is_list or (key.lower() == "palette" and isinstance(value, str))
            _expect(fits, source, where, value, f"a list of {expected}")


def _expect(fits: bool, source: str | Path, key: str, value: Any, expected: str) -> None:
    if not fits:
        raise InputError(
            f"{source}: {key} is {excerpt(value)}, and must be {expected}; use another file"
        )


def _is_color(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 3
        and all(isinstance(number, (int, float, np.number)) for number in value)
    )


def _is_category(value: Any) -> bool:
    return isinstance(value, dict) and is_int(value.get("id"))


_NAMES = (lambda value: isinstance(value, str), "names")
_FORMS = {
    "classes": _NAMES,
    "thing_classes": _NAMES,
    "stuff_classes": _NAMES,
    "palette": (_is_color, "colors (red, green, blue)"),
    "categories": (_is_category, "categories with an id"),
}
