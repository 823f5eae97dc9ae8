"""Time of a training: its parts are measured apart, and long ones get shorter options."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from helpers.own_data import checked_data, make_choices

from mmproscale.own_data import training_time
from mmproscale.own_data.training_time import Clock, TrainingTime, lighter_options

HOUR = 3600


@pytest.fixture
def now(monkeypatch):
    """A clock that only tests move."""
    now = [0.0]
    monkeypatch.setattr(training_time.time, "perf_counter", lambda: now[0])
    return now


def short_training(now, step=2.0, image=0.5, images=4, steps=100) -> Clock:
    """A training: 10 s to start, 7 s more for the first step, 3 s to save, 5 s for figures."""
    clock, loop = Clock(), SimpleNamespace(_max_iters=steps)
    runner = SimpleNamespace(iter=0, train_loop=loop)
    now[0] += 10
    while runner.iter < loop._max_iters:
        clock.before_train_iter(runner)
        now[0] += step + 7 * (runner.iter == 0)
        runner.iter += 1
    now[0] += 3
    clock.before_val(runner)
    for _ in range(images):
        now[0] += image
        clock.after_val_iter()
    now[0] += 5
    clock.after_val(runner)
    return clock


def test_parts_of_a_training_are_measured_apart(now):
    clock = short_training(now)
    assert len(clock.steps) == 8, "steps end when they have taken long enough"
    once, step, validation = clock.times(-4.0, now[0] + 1, images=100)
    assert (once, step, validation) == (4 + 10 + 7 + 1, 2, 3 + 100 * 0.5 + 5)


def test_one_image_to_validate_on_is_enough(now):
    clock = short_training(now, images=1)
    assert clock.times(0.0, now[0], images=1)[2] == 3 + 0.5 + 5


def test_a_long_validation_ends_early(now):
    with pytest.raises(training_time._EnoughError):
        short_training(now, image=9)


def with_base(name: str, gpus: int, root, **changes):
    chosen = make_choices(checked_data("panoptic", root), name)
    return replace(chosen, options=replace(chosen.options, gpus=gpus), **changes)


def test_days_on_a_cpu_get_shorter_options(tmp_path):
    chosen = with_base("proscale_m2f_r50", 0, tmp_path)
    assert lighter_options(chosen, TrainingTime(0, 86.4, 0, 48 * HOUR)) == [
        "--iterations 500: about half a day",
        "--base proscale_m2f_r18: a smaller model",
        "--image-size 320 240 --crop 160 128: a quarter of the pixels",
    ]
    assert not lighter_options(chosen, TrainingTime(0, 1, 0, 20 * HOUR))
    assert not lighter_options(
        with_base("proscale_m2f_r50", 1, tmp_path), TrainingTime(0, 1, 0, 48 * HOUR)
    )
    small = with_base("proscale_m2f_r18", 0, tmp_path)
    assert not any(
        "--base" in line for line in lighter_options(small, TrainingTime(0, 9, 0, 48 * HOUR))
    )
