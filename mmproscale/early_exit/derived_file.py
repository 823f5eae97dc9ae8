"""The derived dataset on disk: a parquet file, described in docs/early_exit.md.

Its layout has a version. A file of a later one is refused; one that was cut off or damaged is, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmproscale.early_exit.box_matches import IOUS, BoxMatches
from mmproscale.early_exit.class_counts import ClassCounts
from mmproscale.early_exit.derived_table import DerivedTable, Origin
from mmproscale.errors import InputError
from mmproscale.evaluation.panoptic_quality import COUNTS
from mmproscale.utils.atomic_files import atomic_path

VERSION = 1
KEY = b"mmproscale.derived"
"""Of the file's metadata: JSON of ``version`` and the fields of :class:`Origin`."""

FIELDS = [
    ("image_id", pa.string()),
    ("height", pa.int32()),
    ("width", pa.int32()),
    ("quality", pa.list_(pa.float64())),
    ("gate_input", pa.list_(pa.float32())),
    ("layer_macs", pa.list_(pa.int64())),
    ("fixed_macs", pa.int64()),
]
COUNT_FIELDS = [("labels", pa.list_(pa.int32())), ("counts", pa.list_(pa.int64()))]
BOX_FIELDS = [
    ("truths", pa.list_(pa.int32())),
    ("found", pa.list_(pa.int32())),
    ("labels", pa.list_(pa.int32())),
    ("scores", pa.list_(pa.float32())),
    ("matched", pa.list_(pa.int16())),
    ("ignored", pa.list_(pa.int16())),
]
BOX_IOUS: dict[str, Sequence[int]] = {"ap": range(len(IOUS)), "ap50": (0,)}
"""Of qualities of boxes: places in ``IOUS`` of those over which they are the mean."""


def schema_of(origin: Origin) -> pa.Schema:
    """The columns: those of every file, and those that its quality is added up from."""
    return pa.schema(FIELDS + (BOX_FIELDS if _has_boxes(origin) else COUNT_FIELDS))


def _has_boxes(origin: Origin) -> bool:
    return bool(origin.categories) and origin.quality in BOX_IOUS


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], origin: Origin) -> None:
    """Write images as one file, whole or not at all.

    Args:
        path: The file.
        rows: A value for each column of :func:`schema_of`.
        origin: For the metadata.

    Raises:
        InputError: The file can't be written.
    """
    _write(path, pa.Table.from_pylist(list(rows), schema_of(origin)), origin)


def merge(parts: Sequence[Path], path: Path, origin: Origin) -> None:
    """Write the rows of several files, in that order, as one; bytes depend on the rows alone.

    Raises:
        InputError: A part can't be read, or the file can't be written.
    """
    _write(path, pa.concat_tables([_read(part, origin) for part in parts]), origin)


def _write(path: Path, table: pa.Table, origin: Origin) -> None:
    said = json.dumps({"version": VERSION} | asdict(origin), sort_keys=True)
    # Reading names the lists' items otherwise, and empty lists have no type of their own.
    schema = schema_of(origin)
    table = table.select(schema.names).cast(schema).combine_chunks()
    table = table.replace_schema_metadata({KEY: said.encode()})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_origin(path: str | Path) -> Origin:
    """What a derived file was made from.

    Raises:
        InputError: No such file, not a derived one, cut off, or of a later version.
    """
    if not Path(path).is_file():
        raise InputError(f"{path} is not there: make it with `tools/eco.py derive`")
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is cut off, damaged or no parquet file: derive it again") from (
            error
        )
    if KEY not in metadata:
        raise InputError(f"{path} is no derived file: make one with `tools/eco.py derive`")
    content = json.loads(metadata[KEY])
    version = content.pop("version")
    if version != VERSION:
        raise InputError(
            f"{path} has version {version} of the format, and this mmproscale knows {VERSION}: "
            f"{'upgrade mmproscale' if version > VERSION else 'derive it again'}"
        )
    exits, categories = tuple(content.pop("exits")), tuple(content.pop("categories"))
    return Origin(exits=exits, categories=categories, **content)


def read_table(path: str | Path) -> DerivedTable:
    """A derived file in memory.

    Raises:
        InputError: As :func:`read_origin`; a file without images, or whose lists differ in length.
    """
    origin = read_origin(path)
    table = _read(Path(path), origin)
    if not len(table):
        raise InputError(f"{path} has no image: derive it again")
    exits, layers = len(origin.exits), origin.num_layers
    try:
        return DerivedTable(
            origin=origin,
            image_ids=tuple(table["image_id"].to_pylist()),
            sizes=np.stack([_numbers(table["height"]), _numbers(table["width"])], axis=1),
            quality=_numbers(table["quality"]).reshape(len(table), exits),
            gate_inputs=_numbers(table["gate_input"]).reshape(len(table), -1),
            layer_macs=_numbers(table["layer_macs"]).reshape(len(table), layers),
            fixed_macs=_numbers(table["fixed_macs"]),
            counts=_evidence(table, origin) if origin.categories else None,
        )
    except ValueError as error:
        raise InputError(f"{path} has lists of other lengths than it says: {error}") from error


def _read(path: Path, origin: Origin) -> pa.Table:
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is cut off or damaged: derive it again") from error
    missing = [name for name in schema_of(origin).names if name not in table.column_names]
    if missing:
        raise InputError(f"{path} has no column '{missing[0]}': derive it again")
    return table


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A column's numbers; of lists, one after the other."""
    array = column.combine_chunks()
    return (array.flatten() if pa.types.is_list(array.type) else array).to_numpy(
        zero_copy_only=False
    )


def _evidence(table: pa.Table, origin: Origin) -> ClassCounts | BoxMatches:
    return _boxes(table, origin) if _has_boxes(origin) else _counts(table, origin)


def _counts(table: pa.Table, origin: Origin) -> ClassCounts:
    lengths = _lengths(table["labels"])
    return ClassCounts(
        images=np.repeat(np.arange(len(table)), lengths),
        labels=_numbers(table["labels"]),
        values=_numbers(table["counts"]).reshape(lengths.sum(), len(origin.exits), len(COUNTS)),
        num_images=len(table),
        num_classes=len(origin.categories),
    )


def _boxes(table: pa.Table, origin: Origin) -> BoxMatches:
    images, exits = np.arange(len(table)), np.arange(len(origin.exits))
    found = _numbers(table["found"]).reshape(len(table), len(exits))
    return BoxMatches(
        truth_images=np.repeat(images, _lengths(table["truths"])),
        truth_labels=_numbers(table["truths"]),
        images=np.repeat(images, found.sum(1)),
        exits=np.repeat(np.tile(exits, len(table)), found.ravel()),
        labels=_numbers(table["labels"]),
        scores=_numbers(table["scores"]),
        matched=_numbers(table["matched"]),
        ignored=_numbers(table["ignored"]),
        num_images=len(table),
        num_classes=len(origin.categories),
        ious=BOX_IOUS[origin.quality],
    )


def _lengths(column: pa.ChunkedArray) -> np.ndarray:
    """How many numbers each row's list has."""
    return np.diff(column.combine_chunks().offsets.to_numpy())
