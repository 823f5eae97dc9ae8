"""Backbones of timm through the tools: cost, plan, a config for own data, and a trained model."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.own_data import write_panoptic, write_semantic

from mmproscale.utils.config import load_config

pytestmark = pytest.mark.skipif(
    find_spec("timm") is None or find_spec("torchvision") is None,
    reason="no timm or torchvision: make test-onedl has both",
)
NAME = "mobilenetv4_conv_small"
CAMVID = "proscale_m2f_timm-efficientnet-lite0_camvid"
QUICK = [
    *(f"{split}_dataloader.num_workers=0" for split in ("train", "val")),
    *(f"{split}_dataloader.persistent_workers=False" for split in ("train", "val")),
    *("train_cfg.max_iters=2", "train_cfg.val_interval=2"),
]


def test_cost_counts_shipped_configs(run_tool):
    status, out, error = run_tool("cost.py", CAMVID, "--shape", 360, 480, "--json")
    assert status == 0, error
    backbone = json.loads(out)[0]["parts"][0]
    assert (backbone["name"], backbone["params"]) == ("backbone", 2958848)


def test_a_plan_has_the_model_and_an_unknown_one_is_one_line(run_tool, tmp_path):
    options = ("--shape", 224, 256, "--budget", 8, "--max-repeats", 1)
    status, out, error = run_tool("plan.py", "--backbone", f"timm/{NAME}", *options, "--json")
    assert status == 0, error
    config = load_config(json.loads(out)["config"])
    assert Path(config.filename).name.endswith(f"_m2f_timm-{NAME}_coco.py")
    assert config.model.backbone.model == NAME
    status, _, error = run_tool("plan.py", "--backbone", "timm/convnxt_tiny", *options)
    assert status == 2
    assert re.search("convnxt_tiny is not a model of .*convnext_tiny", error.splitlines()[-1])


@pytest.mark.parametrize("write", [write_panoptic, write_semantic])
def test_a_config_for_own_data_trains(run_tool, tmp_path, write):
    write(tmp_path / "data")
    base = ("--base", f"proscale_m2f_timm/{NAME}", "--gpus", 0, "--memory", 16, "--workers", 1)
    options = ("--data", tmp_path / "data", *base, "--from-scratch")
    status, _, error = run_tool("new_config.py", *options)
    assert status == 0, error
    path = tmp_path / f"proscale_m2f_timm-{NAME}_data.py"
    work_dir = tmp_path / "run"
    status, _, error = run_tool("train.py", path, "--work-dir", work_dir, "--cfg-options", *QUICK)
    assert status == 0, error
    assert (work_dir / "iter_2.pth").is_file()


@pytest.fixture
def trial(shared) -> Path:
    file = shared / "weights/camvid_lite0_proscale333.safetensors"
    if not file.is_file():
        pytest.skip(f"no {file.name} in ../shared/weights")
    return file


def test_trained_weights_reach_their_quality(run_tool, trial, shared, tmp_path):
    """On all 101 photographs PQ is 43.2; on every tenth it is nearly as high."""
    data = shared / "data/camvid"
    truth = json.loads((data / "annotations/panoptic_val.json").read_text())
    truth["images"] = truth["images"][::10]
    ids = {image["id"] for image in truth["images"]}
    truth["annotations"] = [one for one in truth["annotations"] if one["image_id"] in ids]
    (tmp_path / "few.json").write_text(json.dumps(truth))
    files = [f"{key}.ann_file={tmp_path / 'few.json'}" for key in ("test_evaluator",)]
    files += [f"test_dataloader.dataset.ann_file={tmp_path / 'few.json'}"]
    options = ("--work-dir", tmp_path, "--cfg-options", f"data_root={data}", *files)
    status, _, error = run_tool("test.py", CAMVID, trial, *options)
    assert status == 0, error
    quality = json.loads((tmp_path / "metrics.json").read_text())["all"]["pq"]
    assert 0.40 < quality < 0.46


def test_predictions_have_the_names_in_the_files_metadata(run_tool, trial, shared, tmp_path):
    photo = sorted((shared / "data/camvid/val").glob("*.jpg"))[0]
    status, _, error = run_tool("predict.py", CAMVID, trial, photo, "--out", tmp_path / "out")
    assert status == 0, error
    categories = json.loads(next((tmp_path / "out").glob("**/*.json")).read_text())["categories"]
    assert [one["name"] for one in categories][:4] == ["car", "pedestrian", "bicyclist", "sky"]
    assert [one["isthing"] for one in categories] == [1] * 3 + [0] * 8
