"""The report of all figures, and its table."""

import math

import numpy as np
import pytest

from mmproscale.evaluation.image_score import ImageScore
from mmproscale.evaluation.report import add_up, make_report, named_percentages, report_table

CATEGORIES = [
    {"id": 5, "name": "car", "isthing": 1},
    {"id": 21, "name": "sky", "isthing": 0},
    {"id": 3, "name": "moon", "isthing": 0},
]
# Columns of panoptic counts: iou, tp, fp, fn; of semantic ones: both sides, truth, prediction.
PANOPTIC = np.array([[2**39, 1, 0, 1], [2**40, 1, 0, 0], [0, 0, 0, 0]])
SEMANTIC = np.array([[1, 2, 3], [6, 6, 6], [0, 0, 0]])
PRECISION = {name: 0.25 for name in ("ap", "ap50", "ap75", "aps", "apm")} | {"apl": math.nan}


@pytest.fixture
def report() -> dict:
    totals = {"panoptic": PANOPTIC, "semantic": SEMANTIC}
    precision = PRECISION | {"per_class": {"5": 0.25}}
    return make_report(2, totals, precision, {7: PANOPTIC}, CATEGORIES)


def test_counts_add_up():
    scores = [ImageScore(n, {"panoptic": PANOPTIC, "semantic": SEMANTIC}) for n in range(3)]
    totals = add_up(scores, 3, ("panoptic", "semantic", "instance"))
    assert totals["panoptic"].tolist() == (3 * PANOPTIC).tolist()
    assert totals["semantic"].tolist() == (3 * SEMANTIC).tolist()
    assert add_up([], 3, ["semantic"])["semantic"].tolist() == [[0] * 3] * 3


def test_figures_of_the_report(report):
    percent = named_percentages(report)
    # The car is matched once with an IoU of a half and missed once.
    assert percent["PQ_th"] == pytest.approx(100 / 3) and percent["PQ_st"] == 100
    assert percent["PQ"] == pytest.approx((100 / 3 + 100) / 2)
    assert percent["mIoU"] == pytest.approx((25 + 100) / 2)
    assert percent["AP"] == 25 and math.isnan(percent["APl"])
    assert report["images"] == 2
    assert report["per_image"]["7"]["pq"] == report["all"]["pq"]
    assert report["per_image"]["7"]["per_class"].keys() == {"5", "21"}


def test_figures_that_are_not_wanted_are_left_out():
    report = make_report(2, {"semantic": SEMANTIC}, None, None, CATEGORIES)
    assert report.keys() == {"images", "semantic"}
    assert named_percentages(report) == {"mIoU": pytest.approx(62.5)}


def cells(table: str) -> dict[str, list[str]]:
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    return {name.strip(): [cell.strip() for cell in row] for name, *row in rows}


def test_table(report):
    rows = cells(report_table(report, CATEGORIES, classwise=True))
    assert rows[""] == ["PQ", "SQ", "RQ", "IoU", "AP", "matched", "missed", "extra"]
    car = ["33.33", "50.00", "66.67", "25.00", "25.00", "1", "1", "0"]
    assert rows["car (things)"] == car
    assert rows["Things (1 classes)"] == [*car[:3], "-", "25.00", *car[5:]]
    assert rows["moon (stuff)"] == ["-"] * 5 + ["0"] * 3
    assert rows["All (2 classes)"][3:5] == ["62.50", "-"]
    short = report_table(report, CATEGORIES)
    assert "car" not in short and short.endswith("APm 25.00, APl -")


def test_table_without_panoptic_figures():
    report = make_report(2, {"semantic": SEMANTIC}, None, None, CATEGORIES)
    rows = cells(report_table(report, CATEGORIES))
    assert rows == {
        "": ["IoU"],
        "All (3 classes)": ["62.50"],
        "Things (1 classes)": ["-"],
        "Stuff (2 classes)": ["-"],
    }
