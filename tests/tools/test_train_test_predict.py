"""The tools, one after the other, on a small Shapes: train, resume, test, predict."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "proscale_m2f_r18_shapes.py"
QUICK = [
    "train_cfg.val_interval=2",
    "train_dataloader.batch_size=2",
    "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=False",
    "val_dataloader.num_workers=0",
    "val_dataloader.persistent_workers=False",
    "test_dataloader.num_workers=0",
    "test_dataloader.persistent_workers=False",
    "default_hooks.checkpoint.interval=2",
    "default_hooks.logger.interval=1",
    "model.train_cfg.num_points=64",
]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(root, ShapesSpec(train=8, val=4, size=64))
    return root


def options(shapes, *more):
    return ["--cfg-options", f"data_root={shapes}", *QUICK, *more]


def figures_in(work_dir: Path) -> dict:
    """Return the content of metrics.json without the facts about the run."""
    content = json.loads((work_dir / "metrics.json").read_text())
    assert content.pop("run").keys() == {"command", "hardware", "weights"}
    return content


def test_train_resume_test_and_predict(shapes, run_tool, tmp_path):
    work_dir = tmp_path / "run"
    status, _, error = run_tool(
        "train.py", CONFIG, "--work-dir", work_dir, *options(shapes, "train_cfg.max_iters=2")
    )
    assert status == 0, error
    assert sorted(p.name for p in work_dir.glob("*.pth")) == ["iter_2.pth"]

    status, _, error = run_tool(
        "train.py",
        CONFIG,
        "--resume",
        "--work-dir",
        work_dir,
        *options(shapes, "train_cfg.max_iters=4"),
    )
    assert status == 0, error
    assert sorted(p.name for p in work_dir.glob("*.pth")) == ["iter_4.pth"]
    log = max(work_dir.glob("*/vis_data/*.json")).read_text()
    steps = [json.loads(line)["iter"] for line in log.splitlines() if '"loss"' in line]
    assert steps == [3, 4], "resuming goes on where the first run stopped"

    checkpoint = work_dir / "iter_4.pth"
    status, _, error = run_tool(
        "test.py",
        CONFIG,
        checkpoint,
        "--work-dir",
        tmp_path / "test",
        "--out",
        tmp_path / "kept",
        "--classwise",
        *options(shapes),
    )
    assert status == 0, error
    assert len(json.loads((tmp_path / "kept.panoptic.json").read_text())["annotations"]) == 4
    metrics = json.loads(next((tmp_path / "test").glob("*/*.json")).read_text())
    assert 0 <= metrics["universal/PQ"] <= 100
    report = figures_in(tmp_path / "test")
    assert 100 * report["all"]["pq"] == pytest.approx(metrics["universal/PQ"])
    assert len(report["per_class"]) == 8 and report["images"] == 4

    arguments = ("--kinds", "panoptic", "semantic", "instance", "--work-dir", tmp_path / "kinds")
    status, _, error = run_tool("test.py", CONFIG, checkpoint, *arguments, *options(shapes))
    assert status == 0, error
    every_kind = json.loads(next((tmp_path / "kinds").glob("*/*.json")).read_text())
    assert every_kind["universal/PQ"] == metrics["universal/PQ"]
    assert {"universal/mIoU", "universal/AP"} <= every_kind.keys()

    views = ("--tta", "--scales", "1", "0.7", "--work-dir", tmp_path / "tta")
    status, _, error = run_tool("test.py", CONFIG, checkpoint, *views, *options(shapes))
    assert status == 0, error
    averaged = json.loads((tmp_path / "tta" / "metrics.json").read_text())
    assert averaged["images"] == 4 and 0 <= averaged["all"]["pq"] <= 1

    views = ("--tta", "--no-flip", "--work-dir", tmp_path / "one")
    status, _, error = run_tool("test.py", CONFIG, checkpoint, *views, *options(shapes))
    assert status == 0, error
    assert figures_in(tmp_path / "one") == report
    weights = work_dir / "weights.safetensors"
    status, _, error = run_tool(
        "test.py", weights, "--work-dir", tmp_path / "header", *options(shapes)
    )
    assert status == 0, error
    assert figures_in(tmp_path / "header") == report
    (table,) = (tmp_path / "test").glob("*/*.log")
    assert "disc (things)" in table.read_text()

    status, output, error = run_tool(
        "predict.py", CONFIG, checkpoint, shapes / "val", "--out", tmp_path / "out"
    )
    assert status == 0, error
    assert "4 images are in" in output
    status, _, error = run_tool(
        "predict.py", CONFIG, checkpoint, shapes / "val", "--out", tmp_path / "averaged", "--tta"
    )
    assert status == 0, error
    assert len(list((tmp_path / "averaged" / "pictures").iterdir())) == 4
    result = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    assert len(result["annotations"]) == len(list((tmp_path / "out" / "pictures").iterdir())) == 4
    truth = json.loads((shapes / "annotations" / "panoptic_val.json").read_text())
    ids = {c["id"]: c["name"] for c in truth["categories"]}
    assert {c["id"]: c["name"] for c in result["categories"]} == ids


def test_training_is_the_same_again_with_the_same_seed(shapes, run_tool, tmp_path):
    losses = []
    for run in ("a", "b"):
        status, _, error = run_tool(
            "train.py",
            CONFIG,
            "--work-dir",
            tmp_path / run,
            *options(shapes, "train_cfg.max_iters=2", "randomness.seed=3"),
        )
        assert status == 0, error
        log = next((tmp_path / run).glob("*/vis_data/scalars.json")).read_text()
        records = [json.loads(line) for line in log.splitlines()]
        losses.append([record["loss"] for record in records if "loss" in record])
    assert losses[0] == losses[1] and len(losses[0]) == 2


def test_the_demo_makes_data_trains_evaluates_and_draws(run_tool, tmp_path):
    sizes = "--train-images", 8, "--val-images", 4
    quick = "--cfg-options", *QUICK, "train_cfg.max_iters=2"
    status, output, error = run_tool("demo.py", *sizes, *quick)
    assert status == 0, error
    assert "PQ " in output and "work_dirs/demo/learning_curve.png" in output
    out = tmp_path / "work_dirs" / "demo"
    pictures = list((out / "pictures").glob("*.jpg"))
    assert len(pictures) == 4
    assert np.ptp(cv2.imread(str(pictures[0]))) > 100
    assert cv2.imread(str(out / "learning_curve.png")) is not None
    assert 0 <= json.loads((out / "metrics.json").read_text())["all"]["pq"] <= 1

    longer = "--cfg-options", *QUICK, "train_cfg.max_iters=3"
    status, _, error = run_tool("demo.py", *sizes, "--resume", *longer)
    assert status == 0, error
    assert (out / "last_checkpoint").read_text().endswith("iter_3.pth")
    newest = max(out.glob("*/vis_data/scalars.json"), key=lambda path: path.stat().st_mtime)
    records = [json.loads(line) for line in newest.read_text().splitlines()]
    assert [record["iter"] for record in records if "loss" in record] == [3]


@pytest.mark.slow
def test_averaged_weights_are_validated_and_saved(shapes, run_tool, tmp_path):
    work_dir = tmp_path / "run"
    status, _, error = run_tool(
        "train.py",
        CONFIG,
        "--work-dir",
        work_dir,
        "--ema",
        "0.5",
        "--early-stopping",
        "9",
        *options(shapes, "train_cfg.max_iters=2"),
    )
    assert status == 0, error
    saved = torch.load(work_dir / "iter_2.pth", weights_only=False)
    averaged, last = saved["state_dict"], saved["ema_state_dict"]
    name = "panoptic_head.query_feat.weight"
    assert not torch.equal(averaged[name], last[f"module.{name}"])
    weights = load_file(work_dir / "weights.safetensors")
    assert torch.equal(weights[name], averaged[name])
