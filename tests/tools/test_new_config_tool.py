"""tools/new_config.py: from a folder of each kind to two training steps; errors in one line."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.own_data import write_panoptic, write_semantic
from helpers.tiny_instances import write_tiny_instances
from PIL import Image

from mmproscale.utils.config import load_config

ROOT = Path(__file__).resolve().parents[2]
BASE = ("--base", "proscale_m2f_r18", "--gpus", 0, "--memory", 2, "--workers", 1, "--no-measure")
QUICK = [
    *(
        f"{split}_dataloader.{key}"
        for split in ("train", "val")
        for key in ("num_workers=0", "persistent_workers=False")
    ),
    "train_cfg.max_iters=2",
    "train_cfg.val_interval=2",
    "default_hooks.checkpoint.interval=2",
    "default_hooks.logger.interval=1",
]


def write_instances(root: Path) -> Path:
    write_tiny_instances(root)
    return root


WRITERS = dict(panoptic=write_panoptic, instance=write_instances, semantic=write_semantic)
CLASSES = dict(panoptic=8, instance=3, semantic=3)
METRIC = dict(panoptic="universal/PQ", instance="coco/segm_mAP", semantic="mIoU")


@pytest.fixture
def write(run_tool, tmp_path):
    """Function that writes a config next to the data: (status, out, error, path)."""

    def run(data: Path, *options, out: str = "mine.py"):
        answer = run_tool("new_config.py", "--data", data, *BASE, "--out", out, *options)
        return *answer, tmp_path / out

    return run


@pytest.mark.parametrize("kind", WRITERS)
def test_it_trains_and_evaluates(kind, write, run_tool, tmp_path):
    status, out, error, path = write(WRITERS[kind](tmp_path / "data"), "--from-scratch")
    assert status == 0, error
    assert "learning rate" in out and "class weights" in out and "mmproscale train mine.py" in out
    assert_formatted(path)
    work_dir = tmp_path / "run"
    status, _, error = run_tool("train.py", path, "--work-dir", work_dir, "--cfg-options", *QUICK)
    assert status == 0, error
    records = scalars(work_dir)
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) == 2 and np.isfinite(losses).all()
    assert METRIC[kind] in records[-1]
    config = load_config(path)
    assert config.default_hooks.logger.interval == min(50, config.train_cfg.val_interval)
    if kind == "instance":  # the shipped config has other classes, and so other data
        status, _, error = run_tool("test.py", work_dir / "weights.safetensors")
        assert status == 2 and f"name the config of its training before it, {work_dir}" in error


def scalars(work_dir: Path) -> list[dict]:
    return [json.loads(line) for line in next(work_dir.glob("*/vis_data/scalars.json")).open()]


def assert_formatted(path: Path) -> None:
    if find_spec("ruff"):
        command = [sys.executable, "-m", "ruff", "format", "--check", "--line-length=100", path]
        subprocess.run(command, check=True, capture_output=True)


def test_other_classes_leave_the_class_layer_out_with_a_line(write, run_tool, tmp_path):
    _, _, _, path = write(write_panoptic(tmp_path / "shapes"), "--from-scratch")
    train = ("--cfg-options", *QUICK)
    run_tool("train.py", path, "--work-dir", tmp_path / "first", *train)
    checkpoint = tmp_path / "first/iter_2.pth"
    data = write_instances(tmp_path / "instances")
    status, _, error, path = write(data, "--load-from", checkpoint, out="fine.py")
    assert status == 0 and load_config(path).load_from == str(checkpoint), error
    status, _, error = run_tool("train.py", path, "--work-dir", tmp_path / "second", *train)
    assert status == 0, error
    log = next((tmp_path / "second").glob("*/*.log")).read_text()
    line = (
        "iter_2.pth was trained for 4+4 classes (things+stuff), this model has 3: its class layer"
    )
    assert log.count(line) == 1


def test_what_is_written_follows_from_the_data_and_the_options(write, tmp_path):
    data = write_semantic(tmp_path / "data", count=5)
    options = ("--gpus", 2, "--memory", 2.5, "--amp", "--balance-classes", "--base", "m2f_r50")
    status, _, error, path = write(data, *options, "--from-scratch")
    assert status == 0, error
    assert_formatted(path)
    config = load_config(path)
    assert config.classes == ("road", "tree", "car") and config.model.decode_head.num_classes == 3
    assert config.optim_wrapper.type == "AmpOptimWrapper"
    assert config.model.backbone.init_cfg is None and config.model.backbone.norm_cfg.requires_grad
    # The tree is in 3 images of 5, the others in all.
    assert config.model.decode_head.class_weight == {"tree": 1.29}
    assert config.crop_size == (64, 96) and config.image_size == (96, 64)
    assert config.test_dataloader == config.val_dataloader
    assert config.default_scope == "mmseg"
    # 5 images: a batch of 1 for four steps an epoch, at the root of a sixteenth of the rate.
    assert config.train_dataloader.batch_size == 1
    assert config.optim_wrapper.optimizer.lr == pytest.approx(1e-4 * (2 / 16) ** 0.5, rel=1e-2)


def test_a_share_is_set_aside_only_where_asked(write, tmp_path):
    data = write_panoptic(tmp_path / "data")
    (data / "annotations/panoptic_val.json").unlink()
    status, _, error, path = write(data)
    assert status == 2 and "has nothing to validate on" in error and not path.exists()
    status, _, error, path = write(data, "--val-share", 0.3)
    assert status == 0, error
    parts = [
        json.loads((tmp_path / f"mine_{split}.json").read_text()) for split in ("train", "val")
    ]
    assert [len(part["images"]) for part in parts] == [4, 2]
    loader = load_config(path).val_dataloader.dataset
    assert loader.ann_file == str(tmp_path / "mine_val.json") and loader.data_prefix.img == "train/"


def test_a_share_of_semantic_maps_is_a_list_of_names(write, run_tool, tmp_path):
    data = write_semantic(tmp_path / "data", splits=("train",))
    status, _, error, path = write(data, "--val-share", 0.2, "--from-scratch")
    assert status == 0, error
    assert len((tmp_path / "mine_train.txt").read_text().split()) == 4
    status, _, error = run_tool(
        "train.py", path, "--work-dir", tmp_path / "run", "--cfg-options", *QUICK
    )
    assert status == 0, error


def spoil_json(data: Path) -> None:
    path = data / "annotations/panoptic_train.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["segments_info"][0]["category_id"] = 99
    path.write_text(json.dumps(content))


def spoil_order(data: Path) -> None:
    path = data / "annotations/panoptic_val.json"
    content = json.loads(path.read_text())
    content["categories"].reverse()
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (spoil_json, "[category-unknown]"),
        (spoil_order, "[labels-differ]"),
        (lambda data: next((data / "train").iterdir()).unlink(), "'"),
    ],
)
def test_bad_data_is_refused_by_its_fault(write, tmp_path, spoil, fault):
    data = write_panoptic(tmp_path / "data")
    spoil(data)
    status, out, error, path = write(data)
    line = error.strip().splitlines()[-1]
    assert (status, out) == (2, "") and line.startswith("error: ") and fault in line
    assert not path.exists()


def test_bad_maps_are_refused(write, tmp_path):
    data = write_semantic(tmp_path / "data")

    def spoil(array: np.ndarray) -> str:
        Image.fromarray(array).save(data / "ann_dir/train/0_map.png")
        status, _, error, path = write(data)
        assert status == 2 and not path.exists()
        return error.strip().splitlines()[-1]

    assert "has the label 7, but labels of 3 classes" in spoil(np.full((64, 96), 7, np.uint8))
    assert "write labels as a grey PNG" in spoil(np.zeros((64, 96, 3), np.uint8))
    assert "0.jpg" in spoil(np.zeros((32, 96), np.uint8))


def test_maps_without_names_must_be_numbered(write, tmp_path):
    data = write_semantic(tmp_path / "data", names=False)
    status, _, error, path = write(data)
    assert status == 0 and load_config(path).classes == ("class 0", "class 1", "class 2"), error
    other = write_semantic(tmp_path / "other", names=False, highest=200)
    status, _, error, _ = write(other, "--overwrite")
    assert status == 2 and "have the labels 0, 1, 2, 3, 4, 5, 200" in error


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--base", "dino_r50"], "--base dino_r50 is a detector's, which learns boxes"),
        (["--base", "vgg"], "--base vgg has no config for panoptic data; there are eco-lite"),
        (["--base", "proscale_m2f_r181"], "did you mean proscale_m2f_r18?"),
        (["--crop", 100, 64], "--crop 100 64: both must be multiples of 32"),
        (["--epochs", 1, "--iterations", 1], "not allowed with"),
        (["--frozen-backbone", "--from-scratch"], "--frozen-backbone keeps the backbone's weights"),
        (["--amp"], "--amp needs a GPU"),
        (["--out", "mine.txt"], "give a name that ends in .py"),
        (["--memory", 0.5], "--memory 0.5 is too little"),
        (["--memory", "nan"], "nan is not above 0"),
        (["--val-share", 2], "2 is not between 0 and 1"),
        (["--val-share", 0.1], "is a validation split; leave it out"),
        (["--load-from", "none.pth"], "--load-from none.pth is not a file"),
        (["--load-from", "a", "--from-scratch"], "not allowed with"),
        (["--classes", "none.txt", "--kind", "semantic"], "holds nothing semantic"),
    ],
)
def test_bad_options_are_one_line(write, tmp_path, options, fault):
    data = write_panoptic(tmp_path / "data", train=2, val=1)
    status, out, error, path = write(data, *options)
    assert (status, out) == (2, "") and fault in error.strip().splitlines()[-1]
    assert not path.exists()


@pytest.mark.parametrize("kind", WRITERS)
def test_the_time_of_the_training_is_measured(kind, run_tool, tmp_path):
    data, base = WRITERS[kind](tmp_path / "data"), BASE[:-1]
    options = ("--from-scratch", "--iterations", 4, "--batch", 2, "--crop", 64, 64)
    status, out, error = run_tool("new_config.py", "--data", data, *base, *options, "--out", "a.py")
    assert status == 0, error
    (line,) = (line for line in out.splitlines() if line.startswith("time:"))
    found = re.fullmatch(
        r"time:    about \d+ (?:s|min) on this machine: \d+ s for the start, "
        r"4 iterations of (\d+\.\d\d) s, 1 validation of (\d+\.\d) s",
        line,
    )
    assert found and 0 < float(found[1]) < 20 and float(found[2]) < 20, line


def test_without_its_gpu_the_time_is_unknown(run_tool, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    data = write_panoptic(tmp_path / "data")
    status, out, error = run_tool("new_config.py", "--data", data, *BASE[:-1], "--gpus", 1)
    assert status == 0, error
    assert "time:    not measured: PyTorch finds no GPU here; --gpus 0 is for a CPU" in out


def test_a_planned_encoder_trains_on_the_data(write, run_tool, tmp_path):
    """The plan takes the images' size from the data, and new_config the encoder from the plan."""
    data = write_semantic(tmp_path / "data")
    plan = ("--data", data, "--backbone", "r18", "--budget", 0.5, "--out", "plan", "--json")
    status, out, error = run_tool("plan.py", *plan)
    assert status == 0, error
    planned = json.loads(out)
    for kind, other in (("semantic", data), ("panoptic", write_panoptic(tmp_path / "shapes"))):
        chosen = ("--base", tmp_path / planned["config"], "--from-scratch")
        status, _, error, path = write(other, *chosen, out=f"{kind}.py")
        assert status == 0, error
        assert_formatted(path)
        model = load_config(path).model
        head = model.decode_head if kind == "semantic" else model.panoptic_head
        encoder = load_config(tmp_path / planned["config"]).model.panoptic_head.pixel_decoder
        assert head.pixel_decoder == encoder
        train = ("train.py", path, "--work-dir", tmp_path / kind, "--cfg-options", *QUICK)
        status, _, error = run_tool(*train)
        assert status == 0, error


def test_a_moved_folder_trains(write, run_tool, tmp_path):
    project = tmp_path / "project"
    data = write_panoptic(project / "data")
    (data / "annotations/panoptic_val.json").unlink()
    status, _, error, _ = write(data, "--val-share", 0.3, "--from-scratch", out=project / "mine.py")
    assert status == 0, error
    moved = project.rename(tmp_path / "moved")
    train = ("train.py", moved / "mine.py", "--work-dir", tmp_path / "run", "--cfg-options", *QUICK)
    status, _, error = run_tool(*train)
    assert status == 0, error


def test_nothing_is_overwritten_unasked(write, tmp_path):
    data = write_panoptic(tmp_path / "data", train=2, val=1)
    (tmp_path / "mine.py").write_text("mine")
    status, _, error, path = write(data)
    assert status == 2 and "add --overwrite" in error and path.read_text() == "mine"
    status, _, error, path = write(data, "--overwrite")
    assert status == 0 and "num_things_classes" in path.read_text(), error
