"""Time of a training: steps are counted after the warm-up, and long ones get shorter options."""

from dataclasses import replace

import pytest
from helpers.own_data import checked_data, make_choices

from mmproscale.own_data import training_time
from mmproscale.own_data.training_time import TrainingTime, lighter_options


@pytest.fixture
def clock(monkeypatch):
    """A clock that only `spend` moves."""
    now = [0.0]
    monkeypatch.setattr(training_time.time, "perf_counter", lambda: now[0])

    def spend(seconds: float) -> None:
        now[0] += seconds

    return spend


def test_slow_first_steps_do_not_count(clock):
    took = training_time._seconds_each(clock, [50, 7, 7, 7, 7, 7], lambda: None)
    assert took == 7


def test_loading_and_the_device_count(clock):
    def batches():
        while True:
            clock(0.5)  # the loader
            yield 1

    # More steps than a loader has ready, but no more than are needed.
    taken = []
    took = training_time._seconds_each(
        lambda seconds: (clock(seconds), taken.append(seconds)), batches(), lambda: clock(0.25)
    )
    assert took == pytest.approx(1.75) and len(taken) == 12


def test_one_image_to_validate_on_is_enough(clock):
    assert training_time._seconds_each(clock, [3], lambda: None) == 3


def with_base(name: str, gpus: int, root, **changes):
    chosen = make_choices(checked_data("panoptic", root), name)
    return replace(chosen, options=replace(chosen.options, gpus=gpus), **changes)


def test_days_on_a_cpu_get_shorter_options(tmp_path):
    chosen = with_base("proscale_m2f_r50", 0, tmp_path)
    assert lighter_options(chosen, TrainingTime(86.4, 0, 48.0)) == [
        "--iterations 500: about half a day",
        "--base proscale_m2f_r18: a smaller model",
        "--image-size 320 240 --crop 160 128: a quarter of the pixels",
    ]
    assert not lighter_options(chosen, TrainingTime(1, 0, 20.0))
    assert not lighter_options(with_base("proscale_m2f_r50", 1, tmp_path), TrainingTime(1, 0, 48))
    small = with_base("proscale_m2f_r18", 0, tmp_path)
    assert not any("--base" in line for line in lighter_options(small, TrainingTime(9, 0, 48)))


@pytest.mark.parametrize(
    ("hours", "text"), [(0.001, "1 min"), (0.5, "30 min"), (1.26, "1.3 h"), (60, "2.5 days")]
)
def test_hours_in_words(hours, text):
    assert TrainingTime(1, 1, hours).text == text
