"""The parquet file: round trip, and what is refused in one line."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.derived_tables import derived_table, origin, rows_of

from mmproscale.early_exit import derived_file
from mmproscale.early_exit.derived_file import merge, read_origin, read_table, write_rows
from mmproscale.early_exit.derived_table import split
from mmproscale.errors import InputError


@pytest.fixture
def derived(tmp_path):
    path = tmp_path / "derived.parquet"
    write_rows(path, rows_of(derived_table(20)), origin())
    return path


def test_round_trip(derived):
    table, read = derived_table(20), read_table(derived)
    assert read.origin == table.origin == read_origin(derived)
    assert read.image_ids == table.image_ids
    for name in ("sizes", "quality", "gate_inputs", "layer_macs", "fixed_macs"):
        assert np.array_equal(getattr(read, name), getattr(table, name)), name
    for name in ("images", "labels", "values"):
        assert np.array_equal(getattr(read.counts, name), getattr(table.counts, name)), name


def test_images_without_a_class_and_qualities_that_are_not_known(tmp_path):
    rows = rows_of(derived_table(3))
    rows[1] |= dict(labels=[], counts=[], quality=[np.nan] * 5)
    write_rows(tmp_path / "some.parquet", rows, origin())
    read = read_table(tmp_path / "some.parquet")
    assert read.counts.images.tolist() == [0, 2]
    assert np.isnan(read.quality[1]).all() and not np.isnan(read.quality[[0, 2]]).any()


def test_a_quality_without_classes_has_no_counts(tmp_path):
    rows = [row | dict(labels=[], counts=[]) for row in rows_of(derived_table(3))]
    write_rows(tmp_path / "ap.parquet", rows, origin(quality="ap", categories=()))
    assert read_table(tmp_path / "ap.parquet").counts is None


def test_merged_parts_are_the_file_that_one_writing_gives(derived, tmp_path):
    rows = rows_of(derived_table(20))
    parts = [tmp_path / name for name in ("a.parquet", "b.parquet")]
    write_rows(parts[0], rows[:13], origin())
    write_rows(parts[1], rows[13:], origin())
    merge(parts, tmp_path / "merged.parquet", origin())
    assert (tmp_path / "merged.parquet").read_bytes() == derived.read_bytes()


@pytest.mark.parametrize("kept", [0, 3, 1000, -1])
def test_a_file_that_was_cut_off(derived, kept):
    derived.write_bytes(derived.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"derived.parquet is cut off.*derive it again") as fault:
        read_table(derived)
    assert "\n" not in str(fault.value)


def test_a_byte_that_was_changed(derived):
    data = bytearray(derived.read_bytes())
    data[len(data) // 3] ^= 0xFF
    derived.write_bytes(data)
    with pytest.raises(InputError, match="is cut off or damaged: derive it again"):
        read_table(derived)


def test_a_newer_and_an_older_version(derived, monkeypatch):
    monkeypatch.setattr(derived_file, "VERSION", 2)
    with pytest.raises(InputError, match=r"version 1 .* knows 2: derive it again"):
        read_table(derived)
    write_rows(derived, rows_of(derived_table(2)), origin())
    monkeypatch.setattr(derived_file, "VERSION", 1)
    with pytest.raises(InputError, match=r"version 2 .* knows 1: upgrade mmproscale"):
        read_table(derived)


def test_files_that_are_something_else(tmp_path, derived):
    with pytest.raises(InputError, match=r"nowhere.parquet is not there: make it with"):
        read_table(tmp_path / "nowhere.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="is no derived file"):
        read_table(tmp_path / "other.parquet")
    pq.write_table(pq.read_table(derived).drop_columns("quality"), derived)
    with pytest.raises(InputError, match="has no column 'quality'"):
        read_table(derived)
    write_rows(derived, [], origin())
    with pytest.raises(InputError, match="has no image"):
        read_table(derived)
    write_rows(derived, rows_of(derived_table(2)), origin(exits=(2, 6)))
    with pytest.raises(InputError, match="lists of other lengths than it says"):
        read_table(derived)


def test_an_images_side_of_the_split_is_its_own():
    table = derived_table(1000)
    fitting, judging = split(table, 0.2)
    assert set(fitting.image_ids) | set(judging.image_ids) == set(table.image_ids)
    assert 150 < len(judging) < 250 and len(fitting) + len(judging) == 1000
    fewer = split(table.take(np.arange(0, 1000, 3)[::-1]), 0.2)[1]
    assert set(fewer.image_ids) == set(judging.image_ids) & {str(n) for n in range(0, 1000, 3)}
    assert set(split(table, 0.2, seed=1)[1].image_ids) != set(judging.image_ids)
    assert split(table, 0) == (table, table)
    place = {image_id: n for n, image_id in enumerate(table.image_ids)}
    chosen = [place[image_id] for image_id in judging.image_ids]
    assert np.array_equal(judging.counts.values, table.counts.values[chosen])
    assert replace(table).take(np.arange(3)).image_ids == ("0", "1", "2")
