"""The parquet file and its parts: round trip, continued runs, and files that are refused."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.derived_tables import derived_table, origin, rows_of

from mmproscale.early_exit import derived_file
from mmproscale.early_exit.derived_file import DerivedParts, merge, read_table, write_rows
from mmproscale.errors import InputError


@pytest.fixture
def derived(tmp_path):
    path = tmp_path / "derived.parquet"
    write_rows(path, rows_of(derived_table(20)), origin())
    return path


def test_round_trip(derived):
    table, read = derived_table(20), read_table(derived)
    assert read.origin == table.origin
    assert read.image_ids == table.image_ids
    for name in ("sizes", "quality", "gate_inputs", "layer_macs", "fixed_macs"):
        assert np.array_equal(getattr(read, name), getattr(table, name)), name
    for name in ("images", "labels", "values"):
        assert np.array_equal(getattr(read.counts, name), getattr(table.counts, name)), name


def test_images_without_a_class_and_undefined_qualities(tmp_path):
    rows = rows_of(derived_table(3))
    rows[1] |= dict(labels=[], counts=[], quality=[np.nan] * 5)
    write_rows(tmp_path / "some.parquet", rows, origin())
    read = read_table(tmp_path / "some.parquet")
    assert read.counts.images.tolist() == [0, 2]
    assert np.isnan(read.quality[1]).all() and not np.isnan(read.quality[[0, 2]]).any()


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
    with pytest.raises(InputError, match=r"version 1 .* reads 2: derive it again"):
        read_table(derived)
    write_rows(derived, rows_of(derived_table(2)), origin())
    monkeypatch.setattr(derived_file, "VERSION", 1)
    with pytest.raises(InputError, match=r"version 2 .* reads 1: upgrade mmproscale"):
        read_table(derived)


def test_files_that_are_something_else(tmp_path, derived):
    with pytest.raises(InputError, match=r"nowhere.parquet is not there: make it with"):
        read_table(tmp_path / "nowhere.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="is not a derived file"):
        read_table(tmp_path / "other.parquet")
    pq.write_table(pq.read_table(derived).drop_columns("quality"), derived)
    with pytest.raises(InputError, match="has no column 'quality'"):
        read_table(derived)
    write_rows(derived, [], origin())
    with pytest.raises(InputError, match="has no image"):
        read_table(derived)
    write_rows(derived, rows_of(derived_table(2)), origin(exits=(2, 6)))
    with pytest.raises(InputError, match="lists whose lengths do not fit its exits and layers"):
        read_table(derived)


def parts_of(folder, **changes):
    fields = dict(origin=origin(), image_ids=range(70), settings={"test pipeline": "a"})
    return DerivedParts(folder / "derived.parquet", **(fields | changes))


def test_parts_are_shared_out_and_merged_in_the_order_of_images(tmp_path):
    rows, parts = rows_of(derived_table(70)), parts_of(tmp_path)
    parts.prepare(restart=False)
    assert [parts.share(rank, 2) for rank in range(2)] == [[0, 2], [1]]
    for part in (2, 0):
        parts.write(part, [rows[index] for index in parts.images(part)])
    assert parts.num_written() == 32 + 6
    again = parts_of(tmp_path)
    again.prepare(restart=False)
    assert again.share(0, 1) == [1]
    again.write(1, [rows[index] for index in again.images(1)])
    again.finish()
    assert read_table(again.out).image_ids == derived_table(70).image_ids
    assert not again.folder.exists()
    with pytest.raises(InputError, match="is there already: --restart derives it again"):
        again.prepare(restart=False)
    again.prepare(restart=True)
    assert not again.out.exists() and again.share(0, 1) == [0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        (dict(origin=origin(fingerprint="0" * 64)), r"another model \(eco.py\)"),
        (dict(image_ids=range(69)), "other images"),
        (dict(settings={"test pipeline": "b"}), "another run, which had another test pipeline"),
        (dict(origin=origin(tail=1)), r"another run \(tail 0, now 1\)"),
    ],
)
def test_parts_of_another_run_are_refused(tmp_path, changes, difference):
    parts_of(tmp_path).prepare(restart=False)
    with pytest.raises(InputError, match=f"has parts of {difference}: use another --out"):
        parts_of(tmp_path, **changes).prepare(restart=False)
