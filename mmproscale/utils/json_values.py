"""Values that JSON can hold."""

import math
from typing import Any


def nan_to_null(value: Any) -> Any:
    """Replace every NaN in nested dicts and lists by None, since JSON has no NaN.

    Tuples become lists, as in JSON.
    """
    if isinstance(value, dict):
        return {key: nan_to_null(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [nan_to_null(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
