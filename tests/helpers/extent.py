"""Extent of the long series of tests: a tenth by default, all with MMPROSCALE_FULL_TESTS=1."""

import os
from typing import Any

FULL = os.environ.get("MMPROSCALE_FULL_TESTS") == "1"


def all_or(part: Any, everything: Any) -> Any:
    """Return everything for the full extent, or else a part."""
    return everything if FULL else part
