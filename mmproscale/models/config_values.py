"""Values of a config that an argument cannot have, by the argument's annotation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Scalars that an annotation accepts in a config; one that has another name accepts anything.
KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("int", "float", "bool"), (int, float)),
    "str": (str, int, float),  # mmengine's loss_scale: str takes numbers
    **dict.fromkeys(("None", "NoneType", "Optional", "Union"), ()),
    **dict.fromkeys(("list", "List", "tuple", "Tuple", "Sequence"), ()),
    **dict.fromkeys(("dict", "Dict", "Mapping", "ConfigDict"), ()),
    **dict.fromkeys(("ConfigType", "OptConfigType"), ()),
}
_NO_KIND = {"None", "NoneType", "Optional", "Union"}
_NUMBERS = {"lr", "weight_decay", "momentum", "eps"}  # torch's annotations take tensors, too
_COUNT = re.compile(r"channels$|^embed_dims$|^num_|^depth$")


def expected(annotation: Any, key: str, value: Any) -> str | None:
    """Return what an argument takes instead of a value; None where the value fits."""
    if isinstance(value, int) and value < 0 and _COUNT.search(key):
        return "a number of at least 0"
    if key in _NUMBERS and isinstance(value, str):
        return "a number"
    names = _names(annotation)
    # OpenMMLab's annotations often name one of several containers that are taken.
    if not isinstance(value, (int, float, str)) or any(name not in KINDS for name in names):
        return None
    if not names or isinstance(value, tuple(kind for name in names for kind in KINDS[name])):
        return None
    return " or ".join(name for name in names if name not in _NO_KIND)


def misfit_of_attention(part: Mapping[str, Any]) -> str | None:
    """Describe a number of heads that does not divide the channels."""
    channels, heads = part.get("embed_dims"), part.get("num_heads")
    if not (isinstance(channels, int) and isinstance(heads, int)) or heads < 1:
        return None
    if not channels % heads:
        return None
    return f"num_heads={heads}: expected a divisor of embed_dims={channels}"


def _names(annotation: Any) -> list[str]:
    """Return the types of an annotation, without those of elements."""
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    text = re.sub(r"\b[\w.]+\.(\w+)", r"\1", text)
    elements = re.compile(r"\b(?!Optional|Union)(\w+)\[[^\[\]]*\]")
    while elements.search(text):
        text = elements.sub(r"\1", text)
    return re.findall(r"\w+", text)
