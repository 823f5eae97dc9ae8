"""tools/publish.py: from a run to a named file and its entry, which the other tools use."""

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes
from mmproscale.utils.config import find_config

CONFIG = "proscale_m2f_r18_shapes"
QUICK = [
    *("train_dataloader.batch_size=2", "model.train_cfg.num_points=64"),
    *(f"{split}_dataloader.num_workers=0" for split in ("train", "val", "test")),
    *(f"{split}_dataloader.persistent_workers=False" for split in ("train", "val", "test")),
    *("train_cfg.max_iters=2", "train_cfg.val_interval=2", "default_hooks.checkpoint.interval=2"),
]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(root, ShapesSpec(train=4, val=2, size=64))
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run(run_tool, shapes, folder) -> Path:
    """Folder of a training of two steps, made once, that averages its weights."""
    if not (folder / "run").exists():
        config = folder / f"{CONFIG}.py"
        hook = 'custom_hooks = [dict(type="EMAHook")]'
        config.write_text(f'_base_ = "{find_config(CONFIG)}"\n{hook}\n')
        options = ("--work-dir", folder / "run", "--cfg-options", f"data_root={shapes}", *QUICK)
        status, _, error = run_tool("train.py", config, *options)
        assert status == 0, error
    return folder / "run"


def test_a_run_becomes_a_file_and_an_entry_with_its_figures(run, run_tool, shapes, tmp_path):
    data = ("--cfg-options", f"data_root={shapes}", *QUICK)
    tested = ("test.py", run / "weights.safetensors", "--work-dir", tmp_path / "test", *data)
    assert run_tool(*tested)[0] == 0
    figures = ("--metrics", tmp_path / "test/metrics.json")
    for _ in range(2):
        status, out, error = run_tool("publish.py", run, "--out", "zoo", *figures)
        assert status == 0, error
    assert re.search(r"257 weights are in zoo/\S+\.safetensors already", out)
    entry_file, file = sorted((tmp_path / "zoo").iterdir(), key=lambda path: path.suffix != ".yml")
    (entry,) = yaml.safe_load(entry_file.read_text())
    digest = sha256(file.read_bytes()).hexdigest()
    assert re.fullmatch(rf"{CONFIG}_20\d{{6}}-{digest[:8]}\.safetensors", file.name)
    assert entry["Weights"] == file.name and entry["Config"] == f"configs/{CONFIG}.py"
    assert entry["Metadata"]["Iterations"] == 2
    report = json.loads((tmp_path / "test/metrics.json").read_text())
    (result,) = entry["Results"]
    assert result["Metrics"] == {"PQ": round(100 * report["all"]["pq"], 2)}
    assert result["Command"].startswith("python tools/test.py") and result["Hardware"]

    last = load_checkpoint(run / "iter_2.pth")
    published, average = load_file(file), last["state_dict"]
    assert published.keys() == average.keys()
    assert all(torch.equal(published[key], value) for key, value in average.items())
    name = "panoptic_head.cls_embed.weight"
    assert not torch.equal(last["ema_state_dict"][f"module.{name}"], published[name])
    status, _, error = run_tool("predict.py", file, shapes / "val", "--out", tmp_path / "results")
    assert status == 0, error


def test_a_checkpoint_of_torch_loses_its_optimizer(run, run_tool, tmp_path):
    arguments = (CONFIG, run / "iter_2.pth", "--form", "pth", "--out", tmp_path / "zoo")
    for _ in range(2):
        status, _, error = run_tool("publish.py", *arguments)
        assert status == 0, error
    (file,) = (tmp_path / "zoo").glob("*.pth")
    digest, before = sha256(file.read_bytes()).hexdigest(), load_checkpoint(run / "iter_2.pth")
    day = before["meta"]["time"][:8]
    assert file.name == f"{CONFIG}_{day}-{digest[:8]}.pth" and "optimizer" in before
    content = load_checkpoint(file)
    assert content.keys() == {"state_dict", "meta"}
    assert content["meta"]["dataset_meta"]["classes"]
    assert file.stat().st_size < 0.5 * (run / "iter_2.pth").stat().st_size


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("absent",), "absent not found"),
        ((".",), "no checkpoint: give the folder of a run"),
        (("m2f_r18_shapes", "RUN"), "is not a checkpoint of this model"),
        (("RUN", "--metrics", "absent.json"), r"absent\.json can't be read"),
        (("RUN", "--metrics", "other.json"), "figures of other weights"),
        (("m2f_r18_shapes", "theirs.pth"), "is of another package: convert it"),
    ],
)
def test_other_input_is_one_line(run, run_tool, tmp_path, arguments, line):
    run_of = {"command": "c", "hardware": "h", "weights": "0"}
    (tmp_path / "other.json").write_text(json.dumps({"run": run_of, "all": {"pq": 0.5}}))
    key = "sem_seg_head.predictor.query_feat.weight"
    torch.save({"model": {key: torch.ones(2, 2)}}, tmp_path / "theirs.pth")
    given = (run if argument == "RUN" else argument for argument in arguments)
    status, _, error = run_tool("publish.py", *given, "--out", tmp_path / "zoo")
    assert status == 2 and re.search(line, error.splitlines()[-1])
    assert not (tmp_path / "zoo").exists()
