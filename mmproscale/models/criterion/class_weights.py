"""Weights of the class loss, stated by the classes' names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from math import isfinite
from numbers import Real

from mmproscale.errors import InputError


def weights_by_name(
    by_name: Mapping[str, float], names: Sequence[str], others: Sequence[float] | None = None
) -> list[float]:
    """The weight of each class and, last, of 'no object'.

    Args:
        by_name: Class name -> weight; the classes that it leaves out keep those of ``others``.
        names: The classes in the order of labels.
        others: Weights of all classes and of 'no object'; None for 1 each.

    Raises:
        InputError: A name that is no class; a weight that is no number from 0 on; not as many
            weights in ``others`` as there are classes.
    """
    for name, weight in by_name.items():
        if name not in names:
            raise InputError(
                f"class_weight: '{name}' is no class of the dataset{_hint(name, names)}"
            )
        if not _is_weight(weight):
            raise InputError(
                f"class_weight: {name}={weight!r} is no weight: give a number from 0 on"
            )
    others = [1.0] * (len(names) + 1) if others is None else others
    if len(others) != len(names) + 1:
        raise InputError(
            f"loss_cls.class_weight has {len(others)} weights for the dataset's {len(names)} "
            "classes: give one for each class and one for 'no object'"
        )
    weights = [float(by_name.get(name, w)) for name, w in zip(names, others, strict=False)]
    return [*weights, float(others[-1])]


def _is_weight(value: object) -> bool:
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and isfinite(value) and value >= 0


def _hint(name: str, names: Sequence[str]) -> str:
    close = get_close_matches(name, names, 1)
    if close:
        return f": did you mean '{close[0]}'?"
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f", which are {shown}"
