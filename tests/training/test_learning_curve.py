"""Learning curves: what is read from mmengine's logs, and that a picture comes of it."""

import json
from pathlib import Path

import cv2
import pytest

from mmproscale.errors import InputError
from mmproscale.training.learning_curve import draw_learning_curve, read_learning_curve, smooth


def write_run(work_dir: Path, name: str, records: list[dict], end: str = "\n") -> None:
    path = work_dir / name / "vis_data" / "scalars.json"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(json.dumps(record) for record in records) + end)


def train(iteration: int, loss: float) -> dict:
    return {"lr": 1e-4, "loss": loss, "loss_cls": 1.0, "iter": iteration, "step": iteration}


def val(step: int, prefix: str = "universal", **figures: float) -> dict:
    return {f"{prefix}/{name}": v for name, v in figures.items()} | {"step": step}


def test_resumed_run_replaces_what_was_done_twice(tmp_path):
    first = [train(10, 5.0), train(20, 4.0), val(20, PQ=10.0), train(30, 9.0), val(30, PQ=1.0)]
    write_run(tmp_path, "20240101_000000", first, end='\n{"loss": 3')
    write_run(
        tmp_path,
        "20240102_000000",
        [train(25, 3.5), train(35, 3.0), val(40, "coco_panoptic", PQ=20.0)],
    )
    curve = read_learning_curve(tmp_path)
    assert curve.loss == {10: 5.0, 20: 4.0, 25: 3.5, 35: 3.0}
    assert curve.quality["PQ"] == {20: 10.0, 40: 20.0}


def test_validation_counted_in_epochs(tmp_path):
    records = [
        train(50, 2.0),
        val(1, PQ=10.0, PQ_th=float("nan")),
        train(100, 1.0),
        val(2, PQ=30.0),
    ]
    write_run(tmp_path, "run", records)
    curve = read_learning_curve(tmp_path)
    assert curve.quality == {"PQ": {50: 10.0, 100: 30.0}}
    assert curve.main == ("PQ", {50: 10.0, 100: 30.0}) and curve.best == (100, 30.0)


def test_several_runs_are_drawn_into_one_plot(tmp_path):
    write_run(tmp_path / "one", "a", [train(10, 5.0), train(20, 3.0), val(20, PQ=50.0)])
    write_run(tmp_path / "two", "a", [train(10, 4.0), train(30, 2.0), val(30, "", mIoU=60.0)])
    runs = [tmp_path / "one", tmp_path / "two"]
    both = cv2.imread(str(draw_learning_curve(runs, tmp_path / "both.png")))
    for run in runs:
        single = cv2.imread(str(draw_learning_curve(run, tmp_path / "single.png")))
        assert both.shape == single.shape and (both != single).any()
    with pytest.raises(InputError, match=r"no training log in .*three"):
        draw_learning_curve([*runs, tmp_path / "three"], tmp_path / "all.png")


def test_draws_with_and_without_validation(tmp_path):
    write_run(tmp_path, "a", [train(10, 5.0), train(20, float("nan")), train(30, 3.0)])
    picture = cv2.imread(str(draw_learning_curve(tmp_path, tmp_path / "out" / "curve.png")))
    assert read_learning_curve(tmp_path).best is None
    assert picture.shape == (480, 1200, 3) and picture.std() > 5
    write_run(tmp_path, "b", [train(40, 2.0), val(40, PQ=50.0, PQ_th=30.0, PQ_st=70.0)])
    again = cv2.imread(str(draw_learning_curve(tmp_path, tmp_path / "curve.png")))
    assert (again != picture).any()


def test_smoothing_is_unbiased():
    assert smooth([2.0] * 5) == pytest.approx([2.0] * 5)
    assert smooth([float("nan"), 4.0])[1] == pytest.approx(4.0)
    rising = smooth([0.0, 10.0, 10.0])
    assert 0 < rising[1] < rising[2] < 10


def test_no_log(tmp_path):
    with pytest.raises(InputError, match=r"no training log in"):
        read_learning_curve(tmp_path)


def test_draws_a_validation_before_the_first_loss(tmp_path):
    write_run(tmp_path, "a", [val(5, PQ=2.0)])
    curve = read_learning_curve(tmp_path)
    assert curve.best == (5, 2.0) and curve.last_step == 5
    assert draw_learning_curve(tmp_path, tmp_path / "curve.png").is_file()
