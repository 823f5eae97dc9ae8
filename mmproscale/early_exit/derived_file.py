"""The derived dataset on disk: a parquet file, and the parts that step B writes before it.

docs/early_exit.md describes the columns and the metadata. Files of another version, and files that
were cut off or damaged, are refused.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmproscale.early_exit.dataset_quality import BOX_IOUS, BoxMatches, ClassCounts
from mmproscale.early_exit.derived_check import check_columns, check_values, read_origin
from mmproscale.early_exit.derived_table import DerivedTable, Origin
from mmproscale.errors import InputError
from mmproscale.evaluation.panoptic_quality import COUNTS
from mmproscale.utils.atomic_files import atomic_path, atomic_write_text, ensure_writable_dir
from mmproscale.utils.command_names import command

VERSION = 1
KEY = b"mmproscale.derived"
"""Key of the file's metadata: JSON of ``version`` and the fields of :class:`Origin`."""

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

PART_SIZE = 32
"""Images of a part; a kill costs each process at most the work on one part."""


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], origin: Origin) -> None:
    """Write images as one file; an interrupted run leaves no partial file.

    Args:
        path: The file.
        rows: For each image a value for each of ``FIELDS``, and of ``BOX_FIELDS`` or
            ``COUNT_FIELDS``.
        origin: For the metadata.

    Raises:
        InputError: The file can't be written.
    """
    _write(path, pa.Table.from_pylist(list(rows), _schema(origin)), origin)


def merge(parts: Sequence[Path], path: Path, origin: Origin) -> None:
    """Write the rows of several files, in that order, as one; its bytes depend only on the rows.

    Raises:
        InputError: A part can't be read, or the file can't be written.
    """
    _write(path, pa.concat_tables([_read(part, origin) for part in parts]), origin)


def _schema(origin: Origin) -> pa.Schema:
    return pa.schema(FIELDS + (BOX_FIELDS if origin.quality in BOX_IOUS else COUNT_FIELDS))


def _write(path: Path, table: pa.Table, origin: Origin) -> None:
    metadata = json.dumps({"version": VERSION} | asdict(origin), sort_keys=True)
    # A table that was read names its lists' items differently, and empty lists have no type.
    schema = _schema(origin)
    table = table.select(schema.names).cast(schema).combine_chunks()
    table = table.replace_schema_metadata({KEY: metadata.encode()})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_table(path: str | Path) -> DerivedTable:
    """Read a derived file into memory.

    Raises:
        InputError: The file is missing, damaged, not a derived file or of another version; it has
            no image, or lists of wrong lengths.
    """
    path = Path(path)
    origin = _read_origin(path)
    table = _read(path, origin)
    if not len(table):
        raise InputError(f"{path} has no image: derive it again")
    try:
        derived = _as_derived(table, origin)
    except ValueError as error:
        raise InputError(
            f"{path} has lists whose lengths do not fit its exits and layers ({error}): derive it "
            "again"
        ) from error
    check_values(derived, path)
    return derived


def _as_derived(table: pa.Table, origin: Origin) -> DerivedTable:
    """Return the rows as arrays; raise ValueError for lists of wrong lengths."""
    read_counts = _box_matches if origin.quality in BOX_IOUS else _class_counts
    ids = table["image_id"]
    if ids.null_count:
        raise ValueError("images without an id")
    return DerivedTable(
        origin=origin,
        image_ids=tuple(ids.to_pylist()),
        sizes=np.stack([_numbers(table["height"]), _numbers(table["width"])], axis=1),
        quality=_matrix(table["quality"], len(origin.exits)),
        gate_inputs=_matrix(table["gate_input"]),
        layer_macs=_matrix(table["layer_macs"], origin.num_layers),
        fixed_macs=_numbers(table["fixed_macs"]),
        counts=read_counts(table, origin),
    )


def _read_origin(path: Path) -> Origin:
    if not path.is_file():
        raise InputError(f"{path} is not there: make it with `{command('eco derive')}`")
    try:
        metadata = pq.read_schema(path).metadata or {}
    except Exception as error:  # a damaged file can raise anything
        raise InputError(
            f"{path} is cut off, damaged or not a parquet file: derive it again"
        ) from error
    if KEY not in metadata:
        derive = command("eco derive")
        raise InputError(f"{path} is not a derived file: make one with `{derive}`")
    return read_origin(metadata[KEY], VERSION, path)


def _read(path: Path, origin: Origin) -> pa.Table:
    schema = _schema(origin)
    try:
        check_columns(path, schema)
        return pq.read_table(path, columns=schema.names, page_checksum_verification=True)
    except InputError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise InputError(f"{path} is cut off or damaged: derive it again") from error


def _class_counts(table: pa.Table, origin: Origin) -> ClassCounts:
    lengths = _lengths(table["labels"])
    if not np.array_equal(_lengths(table["counts"]), lengths * len(origin.exits) * len(COUNTS)):
        raise ValueError("counts of other lengths than labels")
    return ClassCounts(
        images=np.repeat(np.arange(len(table)), lengths),
        labels=_numbers(table["labels"]),
        values=_numbers(table["counts"]).reshape(lengths.sum(), len(origin.exits), len(COUNTS)),
        num_images=len(table),
        num_classes=len(origin.categories),
    )


def _box_matches(table: pa.Table, origin: Origin) -> BoxMatches:
    images, exits = np.arange(len(table)), np.arange(len(origin.exits))
    found = _matrix(table["found"], len(exits))
    of_boxes = [_lengths(table[name]) for name in ("labels", "scores", "matched", "ignored")]
    if found.min() < 0 or not all(np.array_equal(n, found.sum(1)) for n in of_boxes):
        raise ValueError("other numbers of boxes than found")
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


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column's numbers; a column of lists is concatenated."""
    array = column.combine_chunks()
    if pa.types.is_list(array.type):
        if array.null_count:
            raise ValueError("missing lists")
        array = array.flatten()
    if array.null_count:
        raise ValueError("missing numbers")
    return array.to_numpy(zero_copy_only=False)


def _matrix(column: pa.ChunkedArray, width: int | None = None) -> np.ndarray:
    """Return lists of one length as rows; that of the first if no length is given."""
    lengths = _lengths(column)
    width = int(lengths[0]) if width is None else width
    if not width or (lengths != width).any():
        raise ValueError(f"lists that are not of length {width}")
    return _numbers(column).reshape(len(lengths), width)


def _lengths(column: pa.ChunkedArray) -> np.ndarray:
    """Return the length of each row's list."""
    return np.diff(column.combine_chunks().offsets.to_numpy())


class DerivedParts:
    """Parts of a derived file, each whole or missing, from which a killed step B continues.

    They lie in the folder ``OUT.parts`` next to the file to be, together with their origin. A
    part's images depend only on the dataset, so that any number of processes may continue.

    Args:
        out: The derived file to be.
        origin: The model, data and quality.
        image_ids: Ids of the dataset's images, in its order.
        settings: Name and digest of every other input that changes a row.
    """

    def __init__(
        self,
        out: str | Path,
        origin: Origin,
        image_ids: Sequence[Any],
        settings: Mapping[str, str],
    ) -> None:
        self.out, self.origin, self.num_images = Path(out), origin, len(image_ids)
        self.folder = self.out.with_name(f"{self.out.name}.parts")
        self._numbers = range(-(-self.num_images // PART_SIZE))
        ids = hashlib.sha256(json.dumps([str(i) for i in image_ids]).encode()).hexdigest()
        self._inputs = dict(
            origin=asdict(origin), images=ids, part=PART_SIZE, settings=dict(settings)
        )

    def prepare(self, restart: bool) -> None:
        """Make the folder, or check that the parts in it have the same origin.

        Args:
            restart: Whether to remove the parts and the derived file first.

        Raises:
            InputError: The derived file exists, the parts have another origin, or the folder can't
                be written.
        """
        if restart:
            self.out.unlink(missing_ok=True)
            shutil.rmtree(self.folder, ignore_errors=True)
        if self.out.exists():
            raise InputError(f"{self.out} is there already: --restart derives it again")
        ensure_writable_dir(self.folder)
        path = self.folder / "origin.json"
        text = json.dumps(self._inputs, indent=1)
        if not path.exists():
            atomic_write_text(path, text)
        try:
            found, inputs = json.loads(path.read_text()), json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is damaged: start again with --restart") from error
        if found != inputs:
            raise InputError(
                f"{self.folder} has parts of {_difference(found, inputs)}: use another --out, or "
                "start again with --restart"
            )

    def share(self, rank: int, world_size: int) -> list[int]:
        """Return the numbers of the parts that a process has yet to write."""
        own = self._numbers[rank::world_size]
        return [part for part in own if not self._path(part).exists()]

    def images(self, part: int) -> range:
        """Return the indices in the dataset of a part's images."""
        return range(part * PART_SIZE, min((part + 1) * PART_SIZE, self.num_images))

    def write(self, part: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write a part; an interrupted run leaves no partial file."""
        write_rows(self._path(part), rows, self.origin)

    def num_written(self) -> int:
        """Return the number of images in the parts of all processes."""
        written = (part for part in self._numbers if self._path(part).exists())
        return sum(len(self.images(part)) for part in written)

    def finish(self) -> None:
        """Write the derived file from all parts, and remove them.

        Raises:
            InputError: A part is missing or damaged, or the file can't be written.
        """
        merge([self._path(part) for part in self._numbers], self.out, self.origin)
        shutil.rmtree(self.folder)

    def _path(self, part: int) -> Path:
        return self.folder / f"part-{part:06d}.parquet"


def _difference(found: Any, inputs: Mapping[str, Any]) -> str:
    """Describe the other run whose parts were found, for a message."""
    if not isinstance(found, dict) or not isinstance(found.get("origin"), dict):
        return "an unknown run"
    old, new = found["origin"], inputs["origin"]
    if old.get("fingerprint") != new["fingerprint"]:
        return f"another model ({old.get('config')})"
    if found.get("images") != inputs["images"]:
        return "other images"
    for name, digest in inputs["settings"].items():
        settings = found.get("settings")
        if not isinstance(settings, dict) or settings.get(name) != digest:
            return f"another run, which had another {name}"
    key = next((key for key in new if old.get(key) != new[key]), "part")
    return f"another run ({key} {old.get(key)}, now {new.get(key)})"
