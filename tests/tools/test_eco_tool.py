"""tools/eco.py: its three commands one after the other, and its errors."""

import json

import cv2
import pytest
import torch
from helpers.derived_tables import CHANNELS, EXITS, GATE, derived_table, origin, rows_of
from helpers.tiny_eco import (
    CONFIG,
    IMAGES,
    options,
    write_boxes,
    write_checkpoint,
    write_shapes,
)

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.checkpoints.weights_file import make_header, read_header, save_weights
from mmproscale.early_exit.derived_file import read_table, write_rows
from mmproscale.early_exit.gate_checkpoint import fingerprint
from mmproscale.utils.config import load_config

KEYS = ("num_workers", "persistent_workers")


@pytest.fixture
def step_c(tmp_path):
    """Return a derived file of random images, its model's checkpoint, and the output's path."""
    gate = {f"{GATE}.weight": torch.zeros(len(EXITS), CHANNELS), f"{GATE}.bias": torch.zeros(5)}
    weights = {"backbone.weight": torch.ones(2)} | gate
    torch.save({"meta": {}, "state_dict": weights}, tmp_path / "in.pth")
    own_origin = origin(fingerprint=fingerprint(weights, GATE))
    write_rows(tmp_path / "derived.parquet", rows_of(derived_table(100)), own_origin)
    return tmp_path / "derived.parquet", tmp_path / "in.pth", tmp_path / "out.pth"


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Set a terminal width at which tables are not folded."""
    monkeypatch.setenv("COLUMNS", "200")


def fit_arguments(step_c, *more):
    derived, checkpoint, out = step_c
    return ["fit", derived, "--checkpoint", checkpoint, "--out", out, *more]


def test_derive_fit_and_test(run_tool, tmp_path):
    shapes = write_shapes(tmp_path / "shapes")
    config = load_config(CONFIG)
    trained = load_checkpoint(write_checkpoint(tmp_path / "step_a.pth"))["state_dict"]
    checkpoint = tmp_path / "step_a.safetensors"
    save_weights(checkpoint, trained, make_header(config, None))
    derived, gated = tmp_path / "derived.parquet", tmp_path / "gated.safetensors"
    settings = [f"{key}={value}" for key, value in options(shapes).items()]
    status, out, error = run_tool(
        "eco.py", "derive", checkpoint, "--out", derived, "--cfg-options", *settings
    )
    assert status == 0, error
    assert f"written: {derived}" in out and "ETA" in error
    assert len(read_table(derived)) == IMAGES
    arguments = ["fit", derived, "--beta", 0.01, "--checkpoint", checkpoint, "--out", gated]
    status, out, error = run_tool("eco.py", *arguments, "--held-out", 0)
    assert status == 0, error
    work_dir = tmp_path / "test"
    assert read_header(gated).early_exit["beta"] == 0.01
    status, _, error = run_tool(
        "test.py", gated, "--work-dir", work_dir, "--cfg-options", *settings
    )
    assert status == 0, error
    assert json.loads((work_dir / "metrics.json").read_text())["early_exit"]


def test_a_detector_goes_through_all_three_steps(run_tool, tmp_path):
    config = CONFIG.with_name("eco_detr_r18_shapes.py")
    shapes = write_boxes(tmp_path / "shapes")
    loaders = [f"{part}_dataloader.{key}" for part in ("train", "val", "test") for key in KEYS]
    settings = [f"data_root={shapes}"]
    settings += [f"{key}={0 if 'num' in key else False}" for key in loaders]
    once = ["train_cfg.max_iters=1", "train_cfg.val_interval=1"]
    once += ["default_hooks.checkpoint.interval=1", "default_hooks.logger.interval=1"]
    step_a = tmp_path / "a" / "iter_1.pth"
    arguments = [config, "--work-dir", step_a.parent, "--cfg-options", *settings, *once]
    status, _, error = run_tool("train.py", *arguments)
    assert status == 0, error
    derived, gated = tmp_path / "derived.parquet", tmp_path / "gated.pth"
    arguments = [config, step_a, "--out", derived, "--quality", "ap50", "--cfg-options", *settings]
    status, _, error = run_tool("eco.py", "derive", *arguments)
    assert status == 0, error
    table = read_table(derived)
    assert (table.origin.quality, table.origin.gate) == ("ap50", "exit_gate.linear")
    arguments = [derived, "--beta", 0.01, "--checkpoint", step_a, "--out", gated]
    status, out, error = run_tool("eco.py", "fit", *arguments, "--held-out", 0)
    assert status == 0 and "AP50 (95%)" in out, error
    arguments = [config, gated, "--work-dir", tmp_path / "test", "--cfg-options", *settings]
    status, _, error = run_tool("test.py", *arguments)
    assert status == 0, error
    report = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert sum(entry["images"] for entry in report["early_exit"]["exits"].values()) == 2
    assert "coco/bbox_mAP" in report


def test_fit_by_beta_and_by_budget(step_c, run_tool):
    status, out, error = run_tool("eco.py", *fit_arguments(step_c, "--beta", 0.02))
    assert (status, error) == (0, "")
    assert "gate, beta 0.02" in out and "oracle, beta 0.02" in out and "written" in out
    how = torch.load(step_c[2])["meta"]["early_exit"]
    assert (how["beta"], how["loss"], how["budget"]) == (0.02, "u-ce", None)
    by_budget = fit_arguments(step_c, "--budget", 8.5, "--loss", "u-ce")
    status, out, error = run_tool("eco.py", *by_budget)
    assert (status, error) == (0, "")
    assert torch.load(step_c[2])["meta"]["early_exit"]["gmacs"] <= 8.5
    assert "for 8.5 GFLOPs" in out


def test_a_gate_that_sends_all_images_to_one_exit_is_written_with_a_warning(step_c, run_tool):
    status, _, error = run_tool("eco.py", *fit_arguments(step_c, "--beta", 5))
    assert status == 0 and step_c[2].is_file()
    assert error.startswith("warning: with beta 5 the gate sends every image to exit 2")


def test_curve_writes_json_and_a_plot(step_c, run_tool, tmp_path):
    derived, checkpoint, _ = step_c
    arguments = ["curve", derived, "--betas", 0, 0.02, "--max-layers", 4, "--out", tmp_path / "c"]
    status, out, error = run_tool("eco.py", *arguments, "--checkpoint", checkpoint, "--json")
    assert status == 0, error
    content = json.loads(out)
    assert content == json.loads((tmp_path / "c" / "curve.json").read_text())
    assert content["quality_is_of"] == "dataset"
    assert content["images_fitted_to"] + content["images_judged_by"] == 100
    kinds = [point["kind"] for point in content["points"]]
    assert [kinds.count(k) for k in ("fixed", "gate", "oracle", "checkpoint")] == [5, 4, 4, 1]
    assert cv2.imread(str(tmp_path / "c" / "curve.png")) is not None
    status, out, error = run_tool("eco.py", *arguments)
    assert status == 0 and "over fixed" in out and "exit 2" in out, error


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        (["--beta", -1], "-1 is not a number from 0"),
        (["--beta", 0.1, "--budget", 3], "not allowed with argument --beta"),
        (["--beta", 0.1, "--max-layers", 2], "at most 2 layers leave 1 of the exits"),
        (["--budget", 1], "nothing fits 1 GFLOPs: the cheapest, exit 2, takes"),
        (["--beta", 0.1, "--held-out", 1], "1 is not from 0 to below 1"),
    ],
)
def test_options_that_cannot_be_fitted_are_one_line(step_c, run_tool, more, fault):
    status, _, error = run_tool("eco.py", *fit_arguments(step_c, *more))
    assert status == 2 and fault in error.splitlines()[-1]
    assert not step_c[2].exists()


def test_files_that_do_not_fit_together_are_one_line(step_c, run_tool):
    derived, checkpoint, out = step_c
    torch.save({"state_dict": {"backbone.weight": torch.zeros(2)}}, checkpoint)
    status, _, error = run_tool("eco.py", *fit_arguments(step_c, "--beta", 0.1))
    assert status == 2 and error.count("\n") == 1
    assert "in.pth is another model than" in error and not out.exists()
    derived.write_bytes(derived.read_bytes()[:500])
    for command in (fit_arguments(step_c, "--beta", 0.1), ["curve", derived]):
        status, _, error = run_tool("eco.py", *command)
        assert status == 2 and error.count("\n") == 1 and "derive it again" in error
