"""Rows of candidates whose parts do not coincide."""

from mmproscale.cost.tables import NO_BREAK, rows
from mmproscale.timing.measurement import summarize

MASKS = {"backbone": 0.1, "pixel decoder": 0.2, "results": 0.1, "whole": 0.4}
BOXES = {"backbone": 0.2, "head": 0.6, "whole": 0.8}


def shown(samples):
    table = rows({"candidates": summarize(samples)})
    return [[cell.replace(NO_BREAK, " ") for cell in row] for row in table]


def test_what_one_does_not_have_is_a_dash_and_has_no_ratio():
    assert shown({"masks": [MASKS] * 2, "boxes": [BOXES] * 2}) == [
        ["", "masks", "boxes"],
        ["backbone", "100 ms", "200 ms, 2.00 (2.00 to 2.00)"],
        ["pixel decoder", "200 ms", "-"],
        ["results", "100 ms", "-"],
        ["head", "-", "600 ms"],
        ["whole", "400 ms", "800 ms, 2.00 (2.00 to 2.00)"],
    ]


def test_one_alone_has_no_ratios():
    (only,) = summarize({"masks": [MASKS] * 3})
    assert all(set(part) == {"ms"} for part in only["parts"].values())
    assert shown({"masks": [MASKS]})[1] == ["backbone", "100 ms"]
