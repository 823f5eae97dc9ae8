"""Rows of YOLO's label files: values by hand, and every malformed row by file and line."""

import pytest

from mmproscale.datasets.conversion.output import SourcesError
from mmproscale.datasets.conversion.yolo_rows import read_rows
from mmproscale.errors import InputError


@pytest.fixture
def rows(tmp_path):
    def read(text: str):
        (tmp_path / "a.txt").write_text(text)
        return read_rows(tmp_path / "a.txt", classes=3)

    return read


def test_boxes_and_polygons_in_pixels(rows):
    box, polygon = rows("2 0.5 0.25 0.2 0.5\n\n0 0.1 0.1 0.30 0.1 .3 1\r\n")
    assert (box.label, box.is_box) == (2, True) and polygon.where.endswith("a.txt', line 3")
    assert box.corners(200, 100) == pytest.approx([80, 0, 120, 50])
    assert (polygon.label, polygon.is_box) == (0, False)
    assert polygon.outline(200, 100) == [20, 10, 60, 10, 60, 100]


def test_numbers_that_round_beyond_the_image_are_clipped(rows):
    (polygon,) = rows("0 -0.004 0 1.004 0 0.5 1")
    assert polygon.outline(100, 100) == [0, 0, 100, 0, 50, 100]


def test_an_empty_file_has_no_object(rows):
    assert rows("\n") == []


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("3 0.5 0.5 0.1 0.1", "'3' is not a class from 0 to 2"),
        ("-1 0.5 0.5 0.1 0.1", "'-1' is not a class from 0 to 2"),
        ("car 0.5 0.5 0.1 0.1", "'car' is not a class"),
        ("0 0.5 0.5 0.1 x", "'0.5 0.5 0.1 x' are not numbers"),
        ("0", "0 numbers after the class: a box has 4, a polygon 6, 8, 10"),
        ("0 0.5 0.5 0.1 0.1 0.9", "5 numbers after the class"),
        ("0 0.5 0.5 0.1 0.1 0.9 0.5 0.5", "7 numbers after the class"),
        ("0 320 0.5 0.1 0.1", "320 is not between 0 and 1: YOLO's numbers are shares"),
        ("0 0.5 0.5 0.1 nan", "nan is not between 0 and 1"),
        ("0 0.5 -0.02 0.1 0.1", "-0.02 is not between"),
    ],
)
def test_malformed_rows_are_named_by_file_and_line(rows, row, fault):
    with pytest.raises(InputError, match=r"a\.txt', line 2: ") as raised:
        rows(f"0 0.5 0.5 0.1 0.1\n{row}\n")
    assert fault in str(raised.value)


def test_all_malformed_rows_are_counted(rows):
    with pytest.raises(SourcesError) as raised:
        rows("9 0 0 1 1\n0 1\n")
    assert len(raised.value.messages) == 2
