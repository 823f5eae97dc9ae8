"""The panopticapi stand-in against its definitions."""

import pytest

from mmproscale.compat.panopticapi.evaluation import OFFSET, VOID, PQStat

CATEGORIES = {1: {"isthing": 1}, 2: {"isthing": 1}, 7: {"isthing": 0}}


def counted(*counts: tuple[int, float, int, int, int]) -> PQStat:
    stat = PQStat()
    for category_id, iou, tp, fp, fn in counts:
        stat[category_id].iou += iou
        stat[category_id].tp += tp
        stat[category_id].fp += fp
        stat[category_id].fn += fn
    return stat


def test_constants():
    assert (VOID, OFFSET) == (0, 2**24)


def test_quality_of_each_category():
    mean, per_class = counted((1, 1.5, 2, 1, 1)).pq_average({1: {"isthing": 1}}, isthing=None)
    assert per_class[1] == {"pq": 0.5, "sq": 0.75, "rq": pytest.approx(2 / 3)}
    assert mean == {**per_class[1], "n": 1}


def test_categories_without_events_are_left_out_of_the_mean():
    stat = counted((1, 0.8, 1, 0, 0), (7, 0.6, 1, 0, 0))
    mean, per_class = stat.pq_average(CATEGORIES, isthing=None)
    assert mean["pq"] == pytest.approx(0.7) and mean["n"] == 2
    assert per_class[2] == {"pq": 0.0, "sq": 0.0, "rq": 0.0}


def test_things_and_stuff():
    stat = counted((1, 0.8, 1, 0, 0), (7, 0.6, 1, 0, 0))
    things, per_thing = stat.pq_average(CATEGORIES, isthing=True)
    stuff, per_stuff = stat.pq_average(CATEGORIES, isthing=False)
    assert (things["pq"], stuff["pq"]) == (0.8, 0.6)
    assert (set(per_thing), set(per_stuff)) == ({1, 2}, {7})


def test_counts_add_up():
    total = counted((1, 0.8, 1, 0, 0))
    total += counted((1, 0.7, 1, 2, 0), (2, 0.0, 0, 0, 3))
    assert (total[1].iou, total[1].tp, total[1].fp, total[2].fn) == (1.5, 2, 2, 3)


def test_no_events_at_all_is_zero():
    assert PQStat().pq_average(CATEGORIES, isthing=None)[0] == {"pq": 0, "sq": 0, "rq": 0, "n": 0}
