"""Summary of a conversion: every shape is drawn or counted, and odd labels are said."""

from mmproscale.datasets.conversion.summary import Counts, Summary

CATEGORIES = [dict(id=number, name=name, isthing=1) for number, name in enumerate("abc", start=1)]


def summary(segments, *counts):
    made = Summary(CATEGORIES)
    for entry in counts or [Counts(len(segments))]:
        infos = [dict(category_id=c, iscrowd=crowd) for c, crowd in segments]
        made.add(dict(height=2, width=5), [dict(segments_info=infos)], entry)
    return made.lines()


def test_numbers_of_a_sound_conversion_have_no_warning():
    lines = summary([(1, 0), (2, 0), (3, 0)])
    assert lines[0] == "1 image, 3 segments, 3 things and 0 stuff classes"
    assert lines[1:] == ["3 shapes drawn, none left no pixel"]


def test_reasons_are_counted_over_images():
    lost = [Counts(1, [("hidden", "here")]), Counts(0, [("hidden", "there"), ("tiny", "x")])]
    assert summary([(1, 0), (2, 0), (3, 0)], *lost)[-1] == (
        "1 shape drawn, 3 left no pixel (2 hidden, first: here; 1 tiny, first: x)"
    )


def test_crowds_absent_classes_and_large_void_are_said():
    lines = summary([(1, 1), (2, 0), (2, 1)], Counts(3, [], {255: 4, 254: 3}, crowds=2))
    assert "2 of the segments are crowds (2 more were merged into them)" in lines[0]
    warnings = [line for line in lines if line.startswith("warning: ")]
    assert len(warnings) == 3
    assert "1 of 3 classes occur in no image: 'c'" in warnings[0]
    assert "class 'a' occurs as crowd only (1 segment)" in warnings[1]
    assert "value 255 covers 40% of the pixels" in warnings[2]
