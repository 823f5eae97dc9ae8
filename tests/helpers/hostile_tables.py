"""Derived files that lie: each changes one thing of a real one, chosen by a random generator."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from helpers.derived_tables import derived_table, origin, rows_of

from mmproscale.early_exit.derived_file import BOX_FIELDS, KEY, write_rows

IMAGES = 12
_NUMBERS = [float("nan"), float("inf"), -0.5, 1.5]
_WRONG: dict[str, list[Any]] = {
    "quality": [[value, 0.1, 0.2, 0.3, 0.4] for value in _NUMBERS] + [[0.5] * 4, [], [0.5] * 6],
    "gate_input": [[value] * 8 for value in _NUMBERS[:2]] + [[0.5] * 7, [0.5] * 9, []],
    "layer_macs": [[-1] * 6, [0] * 6, [2**60] * 6, [5] * 5, [5] * 7, []],
    "fixed_macs": [-1, 2**62],
    "height": [0, -5, 2**30],
    "width": [0, -5, 2**30],
    "image_id": ["1"],
    "labels": [[-1], [3], [2**30], [], [0, 1]],
    "counts": [[-1] * 20, [2**62] * 20, [2**41, 1, 0, 0] * 5, [1] * 19, [], [0, 2**40, 0, 0] * 5],
}
_TYPES = [pa.string(), pa.float16(), pa.list_(pa.string()), pa.bool_(), pa.int8(), pa.date32()]
_ORIGINS: dict[str, list[Any]] = {
    "exits": [[], [0, 6], [6, 2], [2, 2], [2, 9], "2", None, [2.5], [True, 2], [[2]], 5],
    "num_layers": [0, -1, "6", None, 2.5, 10**9, [6]],
    "tail": [-1, 6, "0", None, 0.5],
    "quality": ["", "pw", None, 3, ["pq"]],
    "categories": [None, 5, [5], [{"id": "a", "name": "b"}], [{"name": "b"}], {"a": 1}, "ab"],
    "fingerprint": ["", "g" * 64, None, 3, "f" * 63],
    "config": [None, 5, ["a"], "x" * 20_000],
    "gate": [None, 5, {}],
    "schedule": [None, 5],
    "version": [None, "1", 1.5, [], True],
}


def write_hostile(rng: random.Random, path: Path) -> str:
    """Write a derived file with one wrong thing, and return its name."""
    choice = rng.choice([_row, _row, _row, _type, _origin, _origin, _bytes, _boxes, _claims, _null])
    return f"{choice.__name__} {choice(rng, path)}"


def _rows() -> list[dict]:
    return rows_of(derived_table(IMAGES))


def _row(rng: random.Random, path: Path) -> str:
    rows, column = _rows(), rng.choice(sorted(_WRONG))
    value = rng.choice(_WRONG[column])
    for row in rng.sample(rows, 2) if column == "image_id" else [rng.choice(rows)]:
        row[column] = value
    if column == "labels" and len(value) == 1:
        rng.choice(rows)["labels"] = value
    write_rows(path, rows, origin())
    return f"{column} {value}"


def _null(rng: random.Random, path: Path) -> str:
    rows, column = _rows(), rng.choice(sorted(_WRONG))
    row = rng.choice(rows)
    is_list = isinstance(_WRONG[column][0], list)
    row[column] = [None, *list(row[column])[1:]] if is_list and rng.random() < 0.5 else None
    write_rows(path, rows, origin())
    return f"{column} {row[column]}"


def _type(rng: random.Random, path: Path) -> str:
    write_rows(path, _rows(), origin())
    table, column = pq.read_table(path), rng.choice(sorted(_WRONG))
    kind = rng.choice(_TYPES)
    index = table.column_names.index(column)
    pq.write_table(table.set_column(index, column, pa.nulls(IMAGES, kind)), path)
    if rng.random() < 0.3:
        pq.write_table(table.drop_columns(column), path)
    return f"{column} {kind}"


def _origin(rng: random.Random, path: Path) -> str:
    write_rows(path, _rows(), origin())
    table = pq.read_table(path)
    content = json.loads(table.schema.metadata[KEY])
    key = rng.choice(sorted(_ORIGINS))
    content[key] = rng.choice(_ORIGINS[key])
    if rng.random() < 0.2:
        content.pop(key)
    text = json.dumps(content).encode()
    if rng.random() < 0.2:
        key, text = (
            "JSON",
            rng.choice([b"", b"{", b"[" * 10**5, b"5", b"\xff", b"9" * 5000, b"null"]),
        )
    pq.write_table(table.replace_schema_metadata({KEY: text}), path)
    return f"{key} {text[:80]!r}"


def _bytes(rng: random.Random, path: Path) -> str:
    """Cut the file, or change a byte of its end: the length of the metadata, and the mark."""
    write_rows(path, _rows(), origin())
    data = bytearray(path.read_bytes())
    if rng.random() < 0.5:
        path.write_bytes(data[: rng.randrange(len(data) - 1)])
        return "cut"
    place = rng.choice([len(data) - 8, len(data) - 6, len(data) - 1])
    data[place] ^= 0xFF
    path.write_bytes(data)
    return f"byte {place}"


def _boxes(rng: random.Random, path: Path) -> str:
    names = [name for name, _ in BOX_FIELDS]
    wrong: dict[str, list[Any]] = {
        "truths": [[-1], [9]],
        "found": [[-1, 1, 0, 0, 0], [2, 0, 0, 0, 0], [1], [2**30, 0, 0, 0, 0], []],
        "labels": [[-1], [9], [], [0, 0]],
        "scores": [[float("nan")], [float("inf")], [], [0.5, 0.5]],
        "matched": [[-1], [2**12], [], [0, 0]],
        "ignored": [[-1], [2**12], [], [0, 0]],
    }
    right = dict(zip(names, ([1], [1, 0, 0, 0, 0], [0], [0.5], [1], [0]), strict=True))
    rows = [{**row, **right} for row in _rows()]
    column = rng.choice(sorted(wrong))
    rng.choice(rows)[column] = value = rng.choice(wrong[column])
    write_rows(path, rows, origin(quality="ap"))
    return f"{column} {value}"


def _claims(rng: random.Random, path: Path) -> str:
    """Write millions of equal values, which take no room in the file."""
    count = rng.choice([20, 40]) * 10**6
    values = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(count, np.int8)), pa.array([5], pa.int64())
    )
    column = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), values.cast(pa.int64()))
    write_rows(path, _rows()[:1], origin())
    table = pq.read_table(path)
    table = table.set_column(table.column_names.index("layer_macs"), "layer_macs", column)
    pq.write_table(table, path)
    return f"{count} values"
