"""Words of messages: counted nouns, and lists of names."""

from collections.abc import Sequence


def plural(count: int, noun: str) -> str:
    """Return a number and a noun: '1 image', '2 images', '1 class', '2,000 classes'."""
    ending = "es" if noun.endswith(("s", "x")) else "s"
    return f"{count:,} {noun}{ending * (count != 1)}"


def few(names: Sequence[str], limit: int = 8) -> str:
    """Return the first names in quotes, and the number of the others."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(f"'{name}'" for name in names[:limit]) + more
