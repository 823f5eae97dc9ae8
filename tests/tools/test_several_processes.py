"""Training, testing and step B by several processes on CPUs, and what a lost process leaves."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import tiny_eco

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
CONFIG = ROOT / "configs" / "proscale_m2f_r18_shapes.py"
FEWER_POINTS = "model.train_cfg.num_points=64"
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
QUICK = [
    f"{loader}.{key}" for loader in LOADERS for key in ("num_workers=0", "persistent_workers=False")
]
# Images of 7 over 3 processes are 3, 2 and 2, and two are repeated.
QUICK += [FEWER_POINTS, "train_dataloader.batch_size=1", "train_cfg.val_interval=100"]
QUICK += ["default_hooks.checkpoint.interval=2", "model.test_cfg.object_mask_thr=0.0"]
QUICK += ["model.test_cfg.iou_thr=0.0"]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(root, ShapesSpec(train=8, val=7, size=64))
    return root


@pytest.fixture(scope="module")
def trained(shapes, tmp_path_factory) -> Path:
    """Work dir of four steps on two processes."""
    work_dir = tmp_path_factory.mktemp("trained") / "run"
    run(train(CONFIG, work_dir, shapes, "train_cfg.max_iters=4"))
    return work_dir


def run(command: list[str | Path], status: int = 0) -> str:
    """Run a command; return its standard error."""
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, "PYTHONPATH": path, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == status, done.stderr[-3000:]
    return done.stderr


def train(config: Path, work_dir: Path, shapes: Path, *options: str, more=()) -> list[str | Path]:
    first = [TOOLS / "dist_train.sh", config, "2", "--work-dir", work_dir, *more]
    return [*first, "--cfg-options", f"data_root={shapes}", *QUICK, *options]


def test(checkpoint: Path, processes: int, work_dir: Path, shapes: Path) -> list[str | Path]:
    first = [TOOLS / "dist_test.sh", CONFIG, checkpoint, str(processes), "--work-dir", work_dir]
    return [*first, "--cfg-options", f"data_root={shapes}", *QUICK]


test.__test__ = False


def faulty(tmp_path: Path, fault: str) -> Path:
    """Return a config whose process 1 fails in its second iteration."""
    hook = dict(type="FaultyProcess", fault=fault, file=str(tmp_path / "fault"), _scope_="mmengine")
    config = tmp_path / "faulty.py"
    config.write_text(
        f"_base_ = '{CONFIG}'\n"
        "custom_imports = dict(imports=['helpers.faulty_processes'])\n"
        f"custom_hooks = [{hook}]\n"
    )
    return config


def test_resumed_processes_learn_what_unbroken_ones_do(trained, shapes, tmp_path):
    run(train(CONFIG, tmp_path, shapes, "train_cfg.max_iters=2"))
    again = train(CONFIG, tmp_path, shapes, "train_cfg.max_iters=4", more=["--resume"])
    run(again)
    broken, unbroken = (load_checkpoint(folder / "iter_4.pth") for folder in (tmp_path, trained))
    for name, weight in unbroken["state_dict"].items():
        assert torch.equal(weight, broken["state_dict"][name]), name


def test_three_processes_find_the_figures_of_one(trained, shapes, tmp_path):
    for processes in (1, 3):
        run(test(trained / "iter_4.pth", processes, tmp_path / str(processes), shapes))
    one, three = (json.loads((tmp_path / n / "metrics.json").read_text()) for n in "13")
    runs = [report.pop("run") for report in (one, three)]
    assert runs[0]["weights"] == runs[1]["weights"]
    assert one == three and one["images"] == 7 and one["all"]["sq"] > 0


@pytest.mark.parametrize("tool", ["train", "test"])
def test_a_lost_process_ends_the_others_with_one_line(tool, trained, shapes, tmp_path):
    config = faulty(tmp_path, "killed")
    if tool == "train":
        command = train(config, tmp_path / "run", shapes, "train_cfg.max_iters=1000")
    else:
        command = test(trained / "iter_4.pth", 2, tmp_path / "run", shapes)
        command = [config if word == CONFIG else word for word in command]
        command.append("test_dataloader.batch_size=1")
    error = run(command, status=137)
    assert time.time() - float((tmp_path / "fault").read_text()) < 30
    assert error.splitlines()[-1] == (
        "error: process 1 was lost: killed by SIGKILL, often for lack of memory; the other "
        "processes were ended"
    )
    assert error.count("error: ") == 1 and "Traceback" not in error


def test_an_error_of_one_process_is_one_line(shapes, tmp_path):
    error = run(train(faulty(tmp_path, "error"), tmp_path / "run", shapes), status=2)
    assert error.count("error: ") == 1 and error.endswith("error: found on one process\n")


def test_processes_derive_together(tmp_path):
    shapes = tiny_eco.write_shapes(tmp_path / "shapes")
    checkpoint = tiny_eco.write_checkpoint(tmp_path / "model.pth")
    options = [f"{key}={value}" for key, value in tiny_eco.options(shapes).items()]
    first = [sys.executable, TOOLS / "launch.py", "--nproc-per-node", "2", TOOLS / "eco.py"]
    derive = ["derive", tiny_eco.CONFIG, checkpoint, "--out", tmp_path / "derived.parquet"]
    run([*first, *derive, "--launcher", "pytorch", "--cfg-options", *options])
    assert (tmp_path / "derived.parquet").is_file()


FSDP = """
runner_type = "FlexibleRunner"
strategy = dict(
    type="FSDPStrategy",
    state_dict_cfg=dict(
        state_dict_type="FULL_STATE_DICT",
        state_dict_config=dict(type="FullStateDictConfig"),
        optim_state_dict_config=dict(type="FullOptimStateDictConfig"),
    ),
)
"""


def test_fsdp_trains_and_saves_a_whole_model(trained, shapes, tmp_path):
    config = tmp_path / "fsdp.py"
    config.write_text(f"_base_ = '{CONFIG}'\n{FSDP}")
    start = trained / "iter_4.pth"
    for rate in ("0.0", "0.1"):
        options = (f"load_from={start}", f"optim_wrapper.optimizer.lr={rate}")
        work_dir = tmp_path / rate
        run(train(config, work_dir, shapes, "train_cfg.max_iters=2", *options))
    begun, still, moved = (
        load_checkpoint(file)["state_dict"]
        for file in (start, tmp_path / "0.0" / "iter_2.pth", tmp_path / "0.1" / "iter_2.pth")
    )
    name = "panoptic_head.query_feat.weight"
    assert begun.keys() == still.keys()
    assert torch.equal(begun[name], still[name]) and not torch.equal(begun[name], moved[name])


@pytest.mark.parametrize(
    ("variables", "devices"),
    [
        ({}, ["--gres=gpu:8", "--ntasks-per-node=8", "--ntasks=8"]),
        (
            dict(GPUS="16", GPUS_PER_NODE="4"),
            ["--gres=gpu:4", "--ntasks-per-node=4", "--ntasks=16"],
        ),
        (dict(GPUS="2", GPUS_PER_NODE="0"), ["--ntasks=2"]),
    ],
)
def test_slurm_is_asked_for_the_processes(variables, devices, tmp_path, monkeypatch):
    (tmp_path / "srun").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >&2\n')
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    given = ["gpus", "a job", "config.py", "work", "--amp"]
    words = run([TOOLS / "slurm_train.sh", *given]).splitlines()
    options = words[: words.index(sys.executable)]
    job = ["--partition=gpus", "--job-name=a job", "--kill-on-bad-exit=1", "--cpus-per-task=5"]
    assert sorted(options) == sorted([*job, *devices])
    assert words[-7:] == [
        str(TOOLS / "train.py"), "config.py", "--work-dir", "work", "--launcher", "slurm", "--amp"
    ]  # fmt: skip
