"""Checks of a derived file before it is used: its metadata, size, columns and values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmproscale.early_exit.dataset_quality import BOX_IOUS, IOUS, BoxMatches, ClassCounts
from mmproscale.early_exit.derived_table import DerivedTable, Origin
from mmproscale.errors import InputError
from mmproscale.evaluation.panoptic_quality import IOU_UNIT
from mmproscale.utils.faults import excerpt, is_int

MAX_VALUES_PER_BYTE = 16
"""Values that a byte of a real file holds at most, on average; compression can pretend any."""
_SPARE_VALUES = 1_000_000

_AGAIN = "derive it again"


def read_origin(content: bytes, version: int, path: Path) -> Origin:
    """Return the origin in a derived file's metadata.

    Raises:
        InputError: The metadata is no JSON, of another version, or has another form; names the key.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} has metadata that is no JSON: {_AGAIN}") from error
    stated = found.pop("version", None) if isinstance(found, dict) else None
    if not is_int(stated):
        raise InputError(f"{path} does not state the version of its format: {_AGAIN}")
    if stated != version:
        raise InputError(
            f"{path} has version {stated} of the format, and this mmproscale reads {version}: "
            f"{'upgrade mmproscale' if stated > version else _AGAIN}"
        )
    names = {field.name for field in fields(Origin)}
    for name in sorted(names ^ set(found)):
        problem = "has no" if name in names else "has an unknown"
        raise InputError(f"{path} {problem} {excerpt(name)} in its metadata: {_AGAIN}")
    for name, expected, fits in _ORIGIN:
        if not fits(found[name], found):
            value = excerpt(found[name])
            raise InputError(f"{path} has {name} {value}, which is no {expected}: {_AGAIN}")
    exits, categories = tuple(found.pop("exits")), tuple(found.pop("categories"))
    return Origin(exits=exits, categories=categories, **found)


def _are_exits(value: Any, origin: dict) -> bool:
    is_list = isinstance(value, list) and len(value) > 0 and all(map(is_int, value))
    if not is_list or not all(map(is_int, (origin["num_layers"], origin["tail"]))):
        return False
    return value == sorted(set(value)) and value[0] >= 1 and value[-1] <= origin["num_layers"]


def _are_categories(value: Any, origin: dict) -> bool:
    return isinstance(value, list) and all(
        isinstance(category, dict)
        and is_int(category.get("id"))
        and isinstance(category.get("name"), str)
        and category.get("isthing", 0) in (0, 1)
        for category in value
    )


def _is_text(value: Any, origin: dict) -> bool:
    return isinstance(value, str) and len(value) < 10_000


_ORIGIN: list[tuple[str, str, Callable[[Any, dict], bool]]] = [
    ("config", "name", _is_text),
    ("gate", "name of a layer", _is_text),
    ("schedule", "text", _is_text),
    ("fingerprint", "text of 64 digits", lambda value, _: _is_hash(value)),
    ("quality", f"one of pq, {', '.join(BOX_IOUS)}", lambda v, _: v in ("pq", *BOX_IOUS)),
    ("num_layers", "number of layers", lambda value, _: is_int(value) and 0 < value < 1000),
    ("tail", "number of layers", lambda v, o: is_int(v) and 0 <= v < o["num_layers"]),
    ("exits", "ascending list of layers", _are_exits),
    ("categories", "list of classes with id and name", _are_categories),
]


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def check_columns(path: Path, schema: pa.Schema) -> None:
    """Check types, number of values and missing values of a derived file, without reading it.

    Raises:
        InputError: A column is missing or of another type, has missing values, or the file claims
            more values than it can hold.
    """
    found, metadata = pq.read_schema(path), pq.read_metadata(path)
    for column in schema:
        if column.name not in found.names:
            raise InputError(f"{path} has no column '{column.name}': {_AGAIN}")
        if _plain(found.field(column.name).type) != _plain(column.type):
            kind = excerpt(str(found.field(column.name).type))
            raise InputError(
                f"{path} has {kind} in column '{column.name}', and not {column.type}: {_AGAIN}"
            )
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    values = sum(g.column(index).num_values for g in groups for index in range(g.num_columns))
    if values > MAX_VALUES_PER_BYTE * path.stat().st_size + _SPARE_VALUES:
        raise InputError(f"{path} claims {values:,} values, more than it can hold: {_AGAIN}")


def _plain(kind: pa.DataType) -> tuple[bool, pa.DataType]:
    # A file names its lists' items differently.
    return (True, kind.value_type) if pa.types.is_list(kind) else (False, kind)


def check_values(table: DerivedTable, path: Path) -> None:
    """Check every value of a derived table.

    Raises:
        InputError: Names the first column with a wrong value, and the number of its images.
    """
    for column, expected, wrong in _wrong_images(table):
        if wrong.any():
            first = table.image_ids[int(np.flatnonzero(wrong)[0])]
            raise InputError(
                f"{path} has {column} that is not {expected} in {int(wrong.sum())} of {len(table)} "
                f"images (first: {excerpt(first)}): {_AGAIN}"
            )


def _wrong_images(table: DerivedTable) -> Iterator[tuple[str, str, Any]]:
    """Yield a column, its expected values, and the mask (N,) of images with other values."""
    _, firsts = np.unique(np.array(table.image_ids), return_index=True)
    twice = np.ones(len(table), bool)
    twice[firsts] = False
    yield "image_id", "unique", twice
    yield "height or width", "a size", ((table.sizes < 1) | (table.sizes > 10**6)).any(1)
    yield "gate_input", "finite", ~np.isfinite(table.gate_inputs).all(1)
    layers, rest = table.layer_macs, table.fixed_macs
    # Sums over layers and images must not overflow, either.
    yield "layer_macs", "in 0..2^50", ((layers < 0) | (layers > 2**50)).any(1)
    yield "layer_macs", "above 0 in any layer", ~layers.any(1)
    yield "fixed_macs", "in 0..2^50", (rest < 0) | (rest > 2**50)
    outside = ~((table.quality >= 0) & (table.quality <= 1))
    outside &= ~np.isnan(table.quality) | _has_quality(table)
    yield "quality", "in 0..1", outside.any(1)
    yield from _wrong_counts(table.counts, len(table.origin.categories))


def _has_quality(table: DerivedTable) -> np.ndarray:
    """Return (N, E) whether quality is defined: by true boxes, or segments of truth or result."""
    counts: Any = table.counts
    defined = np.zeros(table.quality.shape, bool)
    if isinstance(counts, BoxMatches):
        defined[counts.truth_images] = True
    else:
        np.logical_or.at(defined, counts.images, counts.values[..., 1:].any(2))
    return defined


def _wrong_counts(counts: Any, classes: int) -> Iterator[tuple[str, str, Any]]:
    def at(images: np.ndarray, wrong: Any) -> np.ndarray:
        found = np.zeros(counts.num_images, bool)
        found[images[wrong]] = True
        return found

    known = f"in 0..{classes - 1}"
    yield "labels", known, at(counts.images, (counts.labels < 0) | (counts.labels >= classes))
    if isinstance(counts, ClassCounts):
        overlap, matched = counts.values[..., 0], counts.values[..., 1]
        # The IoU of a matched segment is at most 1.
        wrong = counts.values < 0
        wrong[..., 1:] |= counts.values[..., 1:] > 10**6
        wrong[..., 0] |= overlap * IOU_UNIT > matched + 1e-6
        yield "counts", "counts of matched segments", at(counts.images, wrong.any((1, 2)))
        return
    truths = (counts.truth_labels < 0) | (counts.truth_labels >= classes)
    yield "truths", known, at(counts.truth_images, truths)
    yield "scores", "finite", at(counts.images, ~np.isfinite(counts.scores))
    bits = 2 ** len(IOUS)
    for name in ("matched", "ignored"):
        flags = getattr(counts, name)
        yield name, "flags", at(counts.images, (flags < 0) | (flags >= bits))
