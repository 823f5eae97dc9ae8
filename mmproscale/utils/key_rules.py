"""Tables that map the keys of published weights to ours, and back.

Each table stands next to the model whose weights it maps. A rule maps one key, or the three keys of
a query, a key and a value projection. Numbers of layers are written `{n}`, names of parameters
`{p}`; both stand for the same text on both sides of a rule.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Change:
    """Change of the tensors of a rule, in both directions.

    Attributes:
        name: Past participle for reports, e.g. 'merged'.
        ours: Function from the source's tensors to ours.
        theirs: Inverse of `ours`.
    """

    name: str
    ours: Callable[[Sequence[Tensor]], Tensor]
    theirs: Callable[[Tensor], Sequence[Tensor]]


def merge_channel_major(value: Tensor) -> Tensor:
    """Reorder the last axis of a Swin downsample, four merged pixels: (..., 4C) -> (..., 4C).

    The official order is quadrant-major, with quadrants (row, column) (0,0), (1,0), (0,1), (1,1).
    mmdet's unfold is channel-major, with quadrants (0,0), (0,1), (1,0), (1,1).
    """
    quadrants = value.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return quadrants.transpose(-1, -2).flatten(-2)


def merge_quadrant_major(value: Tensor) -> Tensor:
    """Undo `merge_channel_major`."""
    quadrants = value.unflatten(-1, (-1, 4)).transpose(-1, -2)
    return quadrants[..., [0, 2, 1, 3], :].flatten(-2)


RENAMED = Change("renamed", lambda tensors: tensors[0], lambda tensor: [tensor])
# Query, key and value projections in one tensor.
MERGED = Change("merged", lambda tensors: torch.cat(tuple(tensors)), lambda tensor: tensor.chunk(3))
REORDERED = Change(
    "reordered",
    lambda tensors: merge_channel_major(tensors[0]),
    lambda tensor: [merge_quadrant_major(tensor)],
)
# (1, 1, C) of the source is (C,) here.
FLATTENED = Change(
    "reshaped", lambda tensors: tensors[0].flatten(), lambda tensor: [tensor[None, None]]
)


@dataclass(frozen=True)
class KeyRule:
    """Names of one tensor in the source and here.

    Attributes:
        theirs: The source's key, or the keys of the tensors that `change` joins.
        ours: Our key.
        change: Change of the tensors.
    """

    theirs: str | tuple[str, ...]
    ours: str
    change: Change = RENAMED

    @property
    def parts(self) -> tuple[str, ...]:
        """The source's keys."""
        return (self.theirs,) if isinstance(self.theirs, str) else self.theirs

    @cached_property
    def patterns(self) -> tuple[re.Pattern[str], ...]:
        """Patterns of the source's keys."""
        return tuple(_pattern(part) for part in self.parts)

    @cached_property
    def our_pattern(self) -> re.Pattern[str]:
        """Pattern of our key."""
        return _pattern(self.ours)

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Names of the numbers in the rule, without ``p``, the parameter's name."""
        return tuple(name for name in re.findall(r"{(\w)}", self.ours) if name != "p")

    def under(self, theirs: str, ours: str) -> KeyRule:
        """Return the rule with a prefix on each side."""
        parts = tuple(theirs + part for part in self.parts)
        return KeyRule(parts[0] if len(parts) == 1 else parts, ours + self.ours, self.change)


def _pattern(template: str) -> re.Pattern[str]:
    pieces = re.split(r"{(\w)}", template)
    for i in range(1, len(pieces), 2):
        kind = r"[a-z_]+" if pieces[i] == "p" else r"\d+"
        pieces[i] = f"(?P<{pieces[i]}>{kind})"
    pieces[::2] = [re.escape(piece) for piece in pieces[::2]]
    return re.compile("".join(pieces))


def modules(names: Mapping[str, str]) -> tuple[KeyRule, ...]:
    """Return the rules of modules whose parameters have the same names on both sides."""
    return tuple(KeyRule(f"{theirs}.{{p}}", f"{ours}.{{p}}") for theirs, ours in names.items())


def attention(theirs: str, ours: str) -> tuple[KeyRule, ...]:
    """Return the rules of a torch.nn.MultiheadAttention, whose projections are merged already."""
    joined = (KeyRule(f"{theirs}.in_proj_{p}", f"{ours}.in_proj_{p}") for p in ("weight", "bias"))
    return (*joined, *modules({f"{theirs}.out_proj": f"{ours}.out_proj"}))


def under(rules: Iterable[KeyRule], theirs: str, ours: str) -> tuple[KeyRule, ...]:
    """Return a table with a prefix on each side."""
    return tuple(rule.under(theirs, ours) for rule in rules)


@dataclass
class Mapped:
    """Weights under our keys, and the keys on which no rule acted.

    Attributes:
        weights: Our key -> tensor.
        origin: Our key -> the rule and the source's keys.
        unknown: The source's keys that no rule knows, or that lack the others of their rule.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    origin: dict[str, tuple[KeyRule, tuple[str, ...]]] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def map_keys(weights: Mapping[str, Tensor], rules: Iterable[KeyRule]) -> Mapped:
    """Rename weights by a table, and join and reorder them as it states.

    The first rule that knows a key counts.
    """
    rules = tuple(rules)
    found: dict[tuple[str, KeyRule], dict[int, str]] = defaultdict(dict)
    for key in weights:
        match = _first_match(key, rules)
        if match is not None:
            rule, part, our_key = match
            found[our_key, rule].setdefault(part, key)
    result, used = Mapped(), set[str]()
    for (our_key, rule), keys in found.items():
        if len(keys) == len(rule.parts) and our_key not in result.weights:
            sources = tuple(keys[part] for part in range(len(rule.parts)))
            result.weights[our_key] = rule.change.ours([weights[key] for key in sources])
            result.origin[our_key] = (rule, sources)
            used.update(sources)
    result.unknown = tuple(key for key in weights if key not in used)
    return result


def _first_match(key: str, rules: Iterable[KeyRule]) -> tuple[KeyRule, int, str] | None:
    for rule in rules:
        for part, pattern in enumerate(rule.patterns):
            match = pattern.fullmatch(key)
            if match:
                return rule, part, rule.ours.format(**match.groupdict())
    return None


def map_back(weights: Mapping[str, Tensor], rules: Iterable[KeyRule]) -> Mapped:
    """Rename our weights to the source's names; the first rule that knows a key counts."""
    rules, result, unknown = tuple(rules), Mapped(), []
    for key, tensor in weights.items():
        matches = ((rule, rule.our_pattern.fullmatch(key)) for rule in rules)
        rule, match = next(((r, m) for r, m in matches if m), (None, None))
        if rule is None or match is None:
            unknown.append(key)
            continue
        for part, value in zip(rule.parts, rule.change.theirs(tensor), strict=True):
            their_key = part.format(**match.groupdict())
            result.weights[their_key] = value.contiguous().clone()
            result.origin[their_key] = (rule, (key,))
    result.unknown = tuple(unknown)
    return result
