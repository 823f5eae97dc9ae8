"""Display of a training: few lines before the first step, short ones after it, pictures."""

import re

import cv2
import numpy as np
import pytest

from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes
from mmproscale.training.run_display import figure_fields
from mmproscale.utils.config import CONFIGS

QUICK = [
    "train_cfg.val_interval=4",
    "train_cfg.max_iters=8",
    "train_dataloader.batch_size=2",
    *[f"{phase}_dataloader.num_workers=0" for phase in ("train", "val", "test")],
    *[f"{phase}_dataloader.persistent_workers=False" for phase in ("train", "val", "test")],
    "default_hooks.checkpoint.interval=4",
    "default_hooks.logger.interval=2",
    "model.train_cfg.num_points=64",
]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(root, ShapesSpec(train=8, val=10, size=64))
    return root


@pytest.fixture
def train(shapes, run_tool, tmp_path):
    """``train('run', ...)`` -> exit status, and the lines of standard output and error."""

    def run(name, *options, config=CONFIGS / "proscale_m2f_r18_shapes.py", settings=()):
        settings = ["--cfg-options", f"data_root={shapes}", *QUICK, *settings]
        work_dir = tmp_path / name
        status, out, error = run_tool(
            "train.py", config, "--work-dir", work_dir, *options, *settings
        )
        return status, out.splitlines(), error.splitlines()

    return run


@pytest.mark.slow
def test_a_training_shows_few_short_lines_and_draws_its_validations(train, tmp_path):
    status, lines, errors = train("run")
    assert status == 0 and errors == []
    first = next(place for place, line in enumerate(lines) if line.startswith("step "))
    assert 4 <= first < 15
    assert [line.split()[0] for line in lines[:first]] == [
        *("config", "model", "data", "schedule", "start", "log")
    ]
    assert "8 images to train on, 10 to validate on, 8 classes (4 of things)" in lines[2]
    steps = [line for line in lines if re.match(r"step \d+/8 +loss \d", line)]
    assert len(steps) == 4 and all("left" in line for line in steps)
    validated = [line for line in lines if line.startswith("validated ")]
    assert [line.split()[1] for line in validated] == ["4", "8"]
    assert all(re.search(r"PQ [\d.]+ \(best ", line) for line in validated)
    assert max(map(len, steps + validated)) <= 80

    log = next((tmp_path / "run").glob("*/*.log")).read_text()
    assert "loss_mask" in log and "paramwise_options" in log and "| Stuff (4 classes)" in log
    sheet = cv2.imread(str(tmp_path / "run" / "validation" / "step_8.jpg"))
    assert titles_in(sheet) == 8 * 3, "eight images with prediction and ground truth"
    assert cv2.imread(str(tmp_path / "run" / "learning_curve.png")) is not None


def titles_in(sheet) -> int:
    """Count the square pictures of a sheet: regions without white rows and columns."""
    ink = (sheet < 235).any(-1).astype("uint8")
    ink = cv2.morphologyEx(ink, cv2.MORPH_OPEN, cv2.getStructuringElement(0, (31, 31)))
    areas = cv2.connectedComponentsWithStats(ink)[2][1:, cv2.CC_STAT_AREA]
    return int((areas > 100_000).sum())


@pytest.mark.slow
def test_verbose_shows_what_the_log_file_has(train, tmp_path):
    status, lines, _ = train("loud", "--verbose", settings=["train_cfg.max_iters=1"])
    log = next((tmp_path / "loud").glob("*/*.log")).read_text()
    assert status == 0 and len(lines) > 300
    assert sum("paramwise_options" in line for line in lines) == log.count("paramwise_options")
    assert not any(line.startswith("step ") for line in lines)


@pytest.mark.slow
def test_a_missing_file_is_found_before_the_model_is_built(train, shapes, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("the model is built before the files are checked")

    monkeypatch.setattr("mmengine.runner.Runner.build_model", fail)
    missing = f"val_evaluator.ann_file={shapes}/none.json"
    status, _, (line,) = train("lost", settings=[missing])
    assert status == 2 and "none.json" in line


def test_the_first_figure_says_the_best_so_far():
    metrics = {"universal/SQ": 70.0, "universal/PQ": 31.234, "universal/PQ_th": float("nan")}
    assert figure_fields(metrics) == ["PQ 31.23", "SQ 70.00", "PQ_th -"]
    assert figure_fields(metrics, (40, 31.234))[0] == "PQ 31.23 (best so far)"
    assert figure_fields(metrics, (20, 35.0))[0] == "PQ 31.23 (best 35.00 at 20)"
    assert figure_fields({"mine/accuracy": 0.5}) == ["accuracy 0.50"]
    assert figure_fields({}) == []


def test_figures_of_mmsegmentation_are_shown():
    metrics = {"mIoU": np.float32(2.79), "aAcc": float("nan"), "exits": "none"}
    assert figure_fields(metrics) == ["mIoU 2.79", "aAcc -"]
