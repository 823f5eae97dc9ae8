"""A derived file's metadata, columns and values are checked before they are used."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.derived_tables import derived_table, origin, rows_of

from mmproscale.early_exit import derived_check
from mmproscale.early_exit.derived_file import KEY, read_table, write_rows
from mmproscale.errors import InputError


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        read_table(path)
    text = str(caught.value)
    assert text.startswith(f"{path} ") and "\n" not in text
    return text


def written(tmp_path, rows=None, **changes):
    path = tmp_path / "derived.parquet"
    write_rows(path, rows or rows_of(derived_table(6)), origin(**changes))
    return path


NAN = float("nan")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("quality", [NAN] * 5, "quality that is not in 0..1 in 1 of 6 images (first: '2')"),
        ("quality", [0.5, 0.5, 0.5, 0.5, 1.5], "quality that is not in 0..1"),
        ("quality", [-0.1, 0.5, 0.5, 0.5, 0.5], "quality that is not in 0..1"),
        ("gate_input", [NAN] * 8, "gate_input that is not finite"),
        ("layer_macs", [5, 5, 5, 5, 5, -5], "layer_macs that is not in 0..2^50"),
        ("layer_macs", [0] * 6, "layer_macs that is not above 0 in any layer"),
        ("fixed_macs", -1, "fixed_macs that is not in 0..2^50"),
        ("image_id", "3", "image_id that is not unique"),
        ("height", 0, "height or width that is not a size"),
        ("labels", [7], "labels that is not in 0..2"),
        ("counts", [2**41, 1, 0, 0] * 5, "counts that is not counts of matched segments"),
        ("counts", [0, -1, 0, 0] * 5, "counts that is not counts of matched segments"),
        ("image_id", None, "images without an id"),
        ("fixed_macs", None, "missing numbers"),
        ("quality", None, "lists that are not of length 5"),
        ("quality", [0.5, None, 0.5, 0.5, 0.5], "missing numbers"),
        ("quality", [0.5] * 4, "lists that are not of length 5"),
        ("counts", [1] * 19, "counts of other lengths than labels"),
    ],
)
def test_wrong_values_are_named(tmp_path, column, value, message):
    rows = rows_of(derived_table(6))
    rows[2][column] = value
    assert message in refusal(written(tmp_path, rows))


def test_lists_whose_lengths_fit_only_in_sum(tmp_path):
    rows = rows_of(derived_table(6))
    rows[0]["quality"], rows[1]["quality"] = [0.5] * 4, [0.5] * 6
    assert "lists that are not of length 5" in refusal(written(tmp_path, rows))


BOXES = dict(truths=[1], found=[1, 0, 0, 0, 0], labels=[0], scores=[0.5], matched=[1], ignored=[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(found=[2, 0, 0, 0, 0]), "other numbers of boxes than found"),
        (dict(found=[2, -1, 0, 0, 0]), "other numbers of boxes than found"),
        (dict(scores=[NAN]), "scores that is not finite"),
        (dict(matched=[2**12]), "matched that is not flags"),
        (dict(truths=[3]), "truths that is not in 0..2"),
        (dict(labels=[-1]), "labels that is not in 0..2"),
    ],
)
def test_wrong_boxes_are_named(tmp_path, changes, message):
    rows = [{**row, **BOXES} for row in rows_of(derived_table(3))]
    read_table(written(tmp_path, rows, quality="ap"))
    rows[1] |= changes
    assert message in refusal(written(tmp_path, rows, quality="ap"))


def test_quality_is_undefined_only_without_true_boxes(tmp_path):
    rows = [{**row, **BOXES, "quality": [NAN] * 5} for row in rows_of(derived_table(3))]
    assert "quality that is not in 0..1 in 3 of 3" in refusal(written(tmp_path, rows, quality="ap"))
    for row in rows:
        row["truths"] = []
    assert np.isnan(read_table(written(tmp_path, rows, quality="ap")).quality).all()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("exits", value) for value in ([], [0, 2], [6, 2], [2, 9], "26", [2.5], None)),
        *(("num_layers", value) for value in (0, "6", 10**6, None)),
        *(("tail", value) for value in (-1, 6, None)),
        *(("quality", value) for value in ("pw", None, ["pq"])),
        *(("categories", value) for value in (None, [5], [{"id": "a", "name": "b"}])),
        *(("fingerprint", value) for value in ("f", None)),
        *(("gate", 5), ("config", None), ("schedule", [])),
    ],
)
def test_wrong_metadata_is_named(tmp_path, key, value):
    path = written(tmp_path)
    change_metadata(path, lambda content: content.update({key: value}))
    assert f"has {key} " in refusal(path)


def change_metadata(path, change) -> None:
    table = pq.read_table(path)
    content = json.loads(table.schema.metadata[KEY])
    change(content)
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps(content)}), path)


def test_missing_and_unknown_metadata(tmp_path):
    path = written(tmp_path)
    change_metadata(path, lambda content: content.pop("exits"))
    assert "has no 'exits' in its metadata" in refusal(path)
    path = written(tmp_path)
    change_metadata(path, lambda content: content.update(more=1))
    assert "has an unknown 'more' in its metadata" in refusal(path)
    path = written(tmp_path)
    change_metadata(path, lambda content: content.update(version="1"))
    assert "does not state the version" in refusal(path)


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 10**5, b"\xff", b"9" * 5000])
def test_metadata_that_is_no_json(tmp_path, text):
    path = written(tmp_path)
    pq.write_table(pq.read_table(path).replace_schema_metadata({KEY: text}), path)
    assert "has metadata that is no JSON" in refusal(path)


@pytest.mark.parametrize("kind", [pa.string(), pa.float32(), pa.list_(pa.string())])
def test_columns_of_another_type(tmp_path, kind):
    path = written(tmp_path)
    table = pq.read_table(path)
    index = table.column_names.index("quality")
    pq.write_table(table.set_column(index, "quality", pa.nulls(len(table), kind)), path)
    assert "in column 'quality', and not list" in refusal(path)


def test_more_values_than_the_file_can_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(derived_check, "_SPARE_VALUES", 0)
    monkeypatch.setattr(derived_check, "MAX_VALUES_PER_BYTE", 0)
    assert "values, more than it can hold" in refusal(written(tmp_path))
