"""Weights of the class loss by class name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from math import inf
from numbers import Real

from mmproscale.errors import InputError


def weights_by_name(
    by_name: Mapping[str, float], names: Sequence[str], others: Sequence[float] | None = None
) -> list[float]:
    """Return the weight of each class and, last, of 'no object'.

    Args:
        by_name: Class name -> weight; classes that it omits keep their weight in ``others``.
        names: Class names in the order of labels.
        others: Weights of all classes and of 'no object'; None for 1 each.

    Raises:
        InputError: An unknown class name; a weight that is not a number of at least 0; a number of
            weights in ``others`` that does not fit the classes.
    """
    for name, weight in by_name.items():
        if name not in names:
            raise InputError(
                f"class_weight: '{name}' is not a class of the dataset{_hint(name, names)}"
            )
        if not _is_weight(weight):
            raise InputError(
                f"class_weight: {name}={weight!r} is not a weight: give a number of at least 0"
            )
    check_number(others, len(names))
    others = [1.0] * (len(names) + 1) if others is None else others
    weights = [float(by_name.get(name, w)) for name, w in zip(names, others, strict=False)]
    return [*weights, float(others[-1])]


def check_number(weights: Sequence[float] | None, classes: int) -> None:
    """Check that the weights of the class loss are as many as the classes and 'no object'.

    Raises:
        InputError: They are not; names both numbers.
    """
    if weights is not None and len(weights) != classes + 1:
        raise InputError(
            f"loss_cls.class_weight has {len(weights)} weights, and {classes + 1} are needed: one "
            f"for each of {classes} classes and one for 'no object'"
        )


def _is_weight(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) < inf


def _hint(name: str, names: Sequence[str]) -> str:
    close = get_close_matches(name, names, 1)
    if close:
        return f": did you mean '{close[0]}'?"
    first_names = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"; its classes are {first_names}"
