"""A model with an exit gate through the tools: step A from a Mask2Former, and a gated test."""

import json

import pytest
import torch

from mmproscale.cost.random_model import random_model
from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes
from mmproscale.utils.config import load_config

QUICK = [
    "train_dataloader.batch_size=2",
    "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=False",
    "val_dataloader.num_workers=0",
    "val_dataloader.persistent_workers=False",
    "test_dataloader.num_workers=0",
    "test_dataloader.persistent_workers=False",
    "test_dataloader.batch_size=3",
    "model.train_cfg.num_points=64",
    "default_hooks.logger.interval=1",
]
GATE = "panoptic_head.pixel_decoder.exit_gate.linear"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(root, ShapesSpec(train=4, val=4, size=64))
    return root


@pytest.fixture(scope="module")
def mask2former(configs, tmp_path_factory):
    """Write the weights of a model with the same layers and no gate."""
    config = load_config(configs / "eco_m2f_r18_shapes.py")
    weights = random_model(config.model).state_dict()
    path = tmp_path_factory.mktemp("weights") / "m2f.pth"
    torch.save({k: v for k, v in weights.items() if "exit_gate" not in k}, path)
    return path


@pytest.mark.parametrize("exits", ["all", "sample"])
def test_step_a_from_a_mask2former_and_a_gated_test(
    exits, shapes, mask2former, run_tool, configs, tmp_path
):
    config, options = configs / "eco_m2f_r18_shapes.py", [f"data_root={shapes}", *QUICK]
    step_a = [f"load_from={mask2former}", f"model.panoptic_head.exit_loss.exits={exits}"]
    length = ["train_cfg.max_iters=2", "train_cfg.val_interval=2"]
    arguments = ["--cfg-options", *options, *length, *step_a]
    status, _, error = run_tool("train.py", config, "--work-dir", tmp_path / "a", *arguments)
    assert status == 0, error
    (log,) = (tmp_path / "a").glob("*/*.log")
    assert f"m2f.pth: 2 of 286 parameters missing (first: {GATE}.weight)\n" in log.read_text()
    assert_losses_add_up(next((tmp_path / "a").glob("*/vis_data/scalars.json")), exits)

    checkpoint = torch.load(tmp_path / "a" / "iter_2.pth", weights_only=False)
    assert not checkpoint["state_dict"][f"{GATE}.weight"].any(), "the gate is not trained here"
    torch.nn.init.normal_(checkpoint["state_dict"][f"{GATE}.weight"], std=1e4)
    torch.save(checkpoint, tmp_path / "gated.pth")
    arguments = [tmp_path / "gated.pth", "--work-dir", tmp_path / "test", "--cfg-options", *options]
    status, _, error = run_tool("test.py", config, *arguments)
    assert status == 0, error
    report = json.loads((tmp_path / "test" / "metrics.json").read_text())
    early = report["early_exit"]
    assert sum(entry["images"] for entry in early["exits"].values()) == report["images"] == 4
    assert list(early["exits"]) == ["2", "3", "4", "5", "6"]
    assert 0 < early["gmacs"]["total"] < early["gmacs"]["published_total"]
    (log,) = (tmp_path / "test").glob("*/*.log")
    assert "Where images left the encoder" in log.read_text()
    assert "Figures in percent" in log.read_text()

    status, _, error = run_tool(
        "test.py", config, *arguments, "model.panoptic_head.pixel_decoder.exit=3"
    )
    assert status == 0, error
    early = json.loads((tmp_path / "test" / "metrics.json").read_text())["early_exit"]
    assert {k: entry["images"] for k, entry in early["exits"].items()} == {"3": 4}


def assert_losses_add_up(scalars, exits):
    records = [json.loads(line) for line in scalars.read_text().splitlines()]
    first = next(record for record in records if "loss" in record)
    parts = {name: value for name, value in first.items() if name.startswith("exit")}
    assert len({name.partition(".")[0] for name in parts}) == {"all": 5, "sample": 1}[exits]
    assert sum(parts.values()) == pytest.approx(first["loss"], rel=1e-3)


def test_a_schedule_with_one_exit_is_refused_in_one_line(shapes, run_tool, configs):
    schedule = "model.panoptic_head.pixel_decoder.encoder.schedule.layers=2"
    arguments = ["--cfg-options", f"data_root={shapes}", schedule]
    status, _, error = run_tool("train.py", configs / "eco_m2f_r18_shapes.py", *arguments)
    assert status == 2
    assert "exit_gate has no choice" in error.splitlines()[-1]
