"""Conversion of published weights to those of a model here, with an account of every key."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from mmproscale.checkpoints.foreign.class_lists import Names, rows_by_name, source_classes
from mmproscale.checkpoints.foreign.dimensions import dimension_differences
from mmproscale.checkpoints.foreign.sources import HEAD, SOURCES, Source
from mmproscale.checkpoints.model_match import REBUILT
from mmproscale.errors import InputError
from mmproscale.utils.key_rules import KeyRule, Mapped, map_keys

# Weights of which each row belongs to a class. In the first, the last row is that of no object.
_WITH_NO_OBJECT = re.compile(r"(?:panoptic_head\.cls_embed|bbox_head\.fc_cls)\.(?:weight|bias)")
_WITHOUT = re.compile(
    r"bbox_head\.cls_branches\.\d+\.(?:weight|bias)|dn_query_generator\.label_embedding\.weight"
)


@dataclass
class Conversion:
    """Weights under our keys, and an account of the source's keys and the model's.

    Attributes:
        kind: Kind of the source, a key of `SOURCES`.
        weights: The model's weights: those of `state_dict()`, or a part of them.
        used: Keys of the source that were used.
        renamed: Our keys that only changed their names.
        merged: Our keys that join a query, a key and a value projection.
        reordered: Our keys whose values changed places: Swin's downsampling, class layers.
        kept: Our keys that the source has under the same names.
        dropped: Keys of the source that no model here needs.
        left_over: Keys of the source that have no place in this model.
        missing: Keys of the model that the source does not have.
        reshaped: Keys of the model that the source has in another shape.
        unfit: Weights under our keys that do not fit the model: of another shape or name.
        differences: One line for each dimension that source and model state differently.
        notes: Further lines for the user.
    """

    kind: str
    weights: dict[str, Tensor] = field(default_factory=dict)
    used: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    reordered: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    left_over: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()
    unfit: dict[str, Tensor] = field(default_factory=dict)
    differences: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the account, one line for each kind of key that there is."""
        parts = [
            ("used", self.used, "keys of the file"),
            ("same name", self.kept, "weights"),
            ("renamed", self.renamed, "weights"),
            ("merged (query, key, value)", self.merged, "weights"),
            ("reordered", self.reordered, "weights"),
            ("dropped", self.dropped, "keys of the file"),
            ("left over", self.left_over, "keys of the file"),
            ("missing", self.missing, "weights of the model"),
            ("of another shape", self.reshaped, "weights of the model"),
        ]
        lines = [f"{name}: {len(keys)} {unit}{_first(keys)}" for name, keys, unit in parts if keys]
        return [f"source: {SOURCES[self.kind].title}", *lines, *self.differences, *self.notes]


def _first(keys: Sequence[str], limit: int = 2) -> str:
    return f" ({', '.join(keys[:limit])}{', ...' if len(keys) > limit else ''})"


def convert_weights(
    weights: Mapping[str, Tensor],
    kind: str,
    target: Mapping[str, Tensor] | None,
    *,
    found_classes: Names | None = None,
    wanted_classes: Sequence[str] | None = None,
    partial: bool = False,
    source: str = "the source",
) -> Conversion:
    """Convert published weights to those of a model.

    Args:
        weights: The source's weights.
        kind: Their kind, as `recognise` returns it.
        target: The model's `state_dict()`; it may be on the meta device. None for a backbone of
            which no model is known: its layers are then only compared with one another.
        found_classes: The source's classes by row, where it carries names.
        wanted_classes: The model's classes by label, where they are known.
        partial: Accept that weights are missing, left over or of another shape.
        source: Name of the source, for messages.

    Raises:
        InputError: Without `partial`, weights are missing, left over or of another shape, or a
            class has no counterpart; with it, no weight fits.
    """
    table = SOURCES[kind]
    result = Conversion(kind)
    mapped = _mapped(weights, table, result)
    _permute_classes(mapped, table, result, found_classes, wanted_classes, partial, source)
    result.left_over = mapped.unknown
    if target is None:
        result.missing = _missing_of_rules(mapped, table.rules)
    else:
        _compare(mapped, result, target)
    _account(mapped, result)
    if partial and not result.weights:
        raise InputError(f"{source}: none of its weights fits the config's model")
    if not partial:
        _check_all(result, target, source)
        result.weights |= _rebuilt(target or {}, result.weights)
    return result


def _mapped(weights: Mapping[str, Tensor], table: Source, result: Conversion) -> Mapped:
    """Return weights under our keys, with the source's own spelling of its keys."""
    spelt: dict[str, str] = {}
    for key in weights:
        spelt.setdefault(table.their_key(key), key)
    dropped = {key for key in spelt if table.dropped_pattern.fullmatch(key)}
    kept = {key: weights[own] for key, own in spelt.items() if key not in dropped}
    mapped = map_keys(kept, table.rules) if table.rules else _as_they_are(kept)
    result.dropped = tuple(spelt[key] for key in spelt if key in dropped)
    # A key whose place another key has taken is left over, too.
    doubles = set(weights) - set(spelt.values())
    mapped.unknown = (*(spelt[key] for key in mapped.unknown), *sorted(doubles))
    mapped.origin = {
        key: (rule, tuple(spelt[their_key] for their_key in keys))
        for key, (rule, keys) in mapped.origin.items()
    }
    return mapped


def _as_they_are(weights: Mapping[str, Tensor]) -> Mapped:
    rule = KeyRule("", "")
    return Mapped(dict(weights), {key: (rule, (key,)) for key in weights})


def _permute_classes(
    mapped: Mapped,
    table: Source,
    result: Conversion,
    found: Names | None,
    wanted: Sequence[str] | None,
    partial: bool,
    source: str,
) -> None:
    """Bring the rows of class layers into the order of our labels."""
    layers = [k for k in mapped.weights if _WITH_NO_OBJECT.fullmatch(k) or _WITHOUT.fullmatch(k)]
    if not layers or wanted is None:
        return
    count = _class_count(mapped.weights, layers)
    found = found or source_classes(table.classes, count)
    if found is None:
        if table.rules:
            result.notes.append("classes: the file names none; their order is kept")
        return
    try:
        rows = rows_by_name(found, wanted, source)
    except InputError as error:
        if not partial:
            raise
        reason = str(error).partition(": give")[0]
        result.notes.append(f"{reason}; the class layer is left out and starts untrained")
        for key in layers:
            mapped.weights.pop(key)
            mapped.unknown += mapped.origin.pop(key)[1]
        return
    if rows == list(range(count)):
        return
    result.notes.append(f"classes: {len(rows)} rows of class layers in the order of our labels")
    for key in layers:
        last = [len(mapped.weights[key]) - 1] if _WITH_NO_OBJECT.fullmatch(key) else []
        mapped.weights[key] = mapped.weights[key][rows + last]
    result.reordered = tuple(layers)


def _class_count(weights: Mapping[str, Tensor], layers: Sequence[str]) -> int:
    key = next((k for k in layers if _WITH_NO_OBJECT.fullmatch(k)), None)
    if key is not None:
        return len(weights[key]) - 1
    return min(len(weights[k]) for k in layers)


def _compare(mapped: Mapped, result: Conversion, target: Mapping[str, Tensor]) -> None:
    """Compare names and shapes with the model's; weights of another shape are left out."""
    if any(key.startswith("decode_head.") for key in target):
        _rename(mapped, HEAD, "decode_head.")
    own = {key: value for key, value in target.items() if not key.endswith(REBUILT)}
    found = {key: tuple(value.shape) for key, value in mapped.weights.items()}
    wanted = {key: tuple(value.shape) for key, value in own.items()}
    result.differences = dimension_differences(found, wanted)
    result.missing = tuple(key for key in own if key not in found)
    result.reshaped = tuple(k for k in own if k in found and found[k] != wanted[k])
    extra = [key for key in found if key not in own]
    result.left_over += tuple(k for key in extra for k in mapped.origin[key][1])
    result.unfit = {key: mapped.weights.pop(key) for key in (*extra, *result.reshaped)}


def _rename(mapped: Mapped, old: str, new: str) -> None:
    for table in (mapped.weights, mapped.origin):
        renamed = {re.sub(f"^{re.escape(old)}", new, key): value for key, value in table.items()}
        table.clear()
        table.update(renamed)  # type: ignore[arg-type]


def _missing_of_rules(mapped: Mapped, rules: Sequence[KeyRule]) -> tuple[str, ...]:
    """Return the weights that a backbone's layers lack and other layers of the same kind have.

    If one rule has a weight for a stage or block, all rules with the same placeholders must have
    one.
    """
    present: dict[tuple[str, ...], set[tuple[tuple[str, str], ...]]] = defaultdict(set)
    parameters: dict[KeyRule, set[str]] = defaultdict(set)
    for key, (rule, _) in mapped.origin.items():
        match = rule.our_pattern.fullmatch(key)
        groups = match.groupdict() if match else {}
        parameters[rule].add(groups.pop("p", ""))
        present[rule.placeholders].add(tuple(groups.items()))
    expected = (
        rule.ours.format(**dict(numbers), p=parameter)
        for rule in rules
        for numbers in sorted(present[rule.placeholders] or {()})
        if len(numbers) == len(rule.placeholders)
        for parameter in sorted(parameters[rule] or {"weight"})
    )
    return tuple(key for key in expected if key not in mapped.weights)


def _account(mapped: Mapped, result: Conversion) -> None:
    """Sort our keys by what was done to them."""
    by_change: dict[str, list[str]] = defaultdict(list)
    for key in mapped.weights:
        rule, sources = mapped.origin[key]
        same = rule.change.name == "renamed" and sources == (key,)
        by_change["same" if same else rule.change.name].append(key)
    result.weights = dict(mapped.weights)
    result.used = tuple(k for key in mapped.weights for k in mapped.origin[key][1])
    result.kept = tuple(by_change["same"])
    result.renamed = tuple(by_change["renamed"] + by_change["reshaped"])
    result.merged = tuple(by_change["merged"])
    classes = [key for key in result.reordered if key in mapped.weights]
    result.reordered = tuple(by_change["reordered"] + classes)


def _check_all(result: Conversion, target: Mapping[str, Tensor] | None, source: str) -> None:
    parts = [
        ("missing", result.missing),
        ("left over", result.left_over),
        ("of another shape", result.reshaped),
    ]
    found = [f"{len(keys)} {name}{_first(keys)}" for name, keys in parts if keys]
    if not found:
        return
    dimensions = "; ".join(result.differences)
    model = "this kind of backbone" if target is None else "the config's model"
    raise InputError(
        f"{source} ({SOURCES[result.kind].title}) does not fit {model}: "
        + (f"{dimensions}; " if dimensions else "")
        + f"weights {', '.join(found)}: give the config of the same model, or --partial for the "
        "weights that fit"
    )


def _rebuilt(target: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the buffers that a model computes itself, so that the file has all of its keys."""
    return {
        key: value
        for key, value in target.items()
        if key.endswith(REBUILT) and key not in weights and not value.is_meta
    }
