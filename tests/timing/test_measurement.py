"""Order of the candidates, and their times, on a clock that only the candidates move."""

import pytest

from mmproscale.timing.measurement import MOST_CALLS, Stopwatch, measure, spread, summarize


class FakeClock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def watch(self):
        return Stopwatch(clock=self)


@pytest.fixture
def clock():
    return FakeClock()


def taking(clock, *seconds, log=None, name=""):
    """A candidate whose calls take so long, one after the other; the last ones all as the last."""
    times = list(seconds)

    def run(watch):
        if log is not None:
            log.append(name)
        with watch.part("all"):
            clock.now += times.pop(0) if len(times) > 1 else times[0]

    return run


def test_everyone_runs_once_a_round_and_the_first_place_moves_on(clock):
    log = []
    runs = {name: taking(clock, 1.0, log=log, name=name) for name in "abc"}
    rounds = []
    samples = measure(
        runs, 4, warm_up=1, new_watch=clock.watch, after_round=lambda: rounds.append(1)
    )
    assert "".join(log) == "abc" + "abc" + "bca" + "cab" + "abc"
    assert {name: len(turns) for name, turns in samples.items()} == {"a": 4, "b": 4, "c": 4}
    assert len(rounds) == 5


def test_times_of_warm_up_rounds_do_not_count(clock):
    samples = measure({"a": taking(clock, 9.0, 8.0, 1.0)}, 2, warm_up=2, new_watch=clock.watch)
    assert samples == {"a": [{"all": 1.0}, {"all": 1.0}]}


def test_what_is_quick_is_called_several_times_a_turn(clock):
    log = []
    runs = {
        "slow": taking(clock, 0.5, log=log, name="slow"),
        "quick": taking(clock, 0.0039, log=log, name="quick"),
        "quickest": taking(clock, 0.0, log=log, name="quickest"),
    }
    samples = measure(runs, 1, warm_up=1, new_watch=clock.watch)
    counts = {name: log.count(name) - 1 for name in runs}  # less the one that warms up
    assert counts == {"slow": 1, "quick": 5, "quickest": MOST_CALLS}
    assert samples["quick"][0]["all"] == pytest.approx(0.0039)  # of one call


def test_parts_add_up_and_lie_within_one_another(clock):
    class Owner:
        def work(self, seconds):
            clock.now += seconds
            return seconds

    owner, watch = Owner(), clock.watch()
    with watch.part("whole"):
        with watch.method(owner, "work", "work"):
            assert owner.work(2) == 2
            owner.work(seconds=3)
        owner.work(5)  # not timed any more
    assert watch.seconds == {"work": 5, "whole": 10}


def test_the_clock_is_read_when_work_is_done(clock):
    def synchronize():
        clock.now += 1  # what was still under way

    watch = Stopwatch(synchronize, clock)
    with watch.part("all"):
        clock.now += 5
    assert watch.seconds == {"all": 6}


def test_ratios_are_of_the_same_round():
    # The machine is ten times slower in the second round, for both.
    samples = {
        "first": [{"all": 0.1, "part": 0.05}, {"all": 1.0, "part": 0.5}, {"all": 0.2, "part": 0.1}],
        "second": [{"all": 0.05, "part": 0.1}, {"all": 0.5, "part": 1}, {"all": 0.08, "part": 0.2}],
    }
    first, second = summarize(samples)
    assert (first["name"], second["name"]) == ("first", "second")
    assert first["parts"]["all"]["ms"]["median"] == pytest.approx(200)
    assert first["parts"]["all"]["ratio"] == {"median": 1.0, "quartiles": [1.0, 1.0]}
    assert second["parts"]["all"]["ms"]["median"] == pytest.approx(80)
    assert second["parts"]["all"]["ratio"]["median"] == pytest.approx(0.5)  # not 80 / 200
    assert second["parts"]["all"]["ratio"]["quartiles"] == pytest.approx([0.45, 0.5])
    assert second["parts"]["part"]["ratio"]["median"] == pytest.approx(2)


@pytest.mark.parametrize(
    ("values", "median", "quartiles"),
    [([5], 5, [5, 5]), ([1, 3], 2, [1.5, 2.5]), ([5, 1, 4, 2, 3], 3, [2, 4])],
)
def test_median_and_quartiles(values, median, quartiles):
    assert spread(values) == {"median": median, "quartiles": quartiles}
