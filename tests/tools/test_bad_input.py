"""Bad input is one clear line that names it, with status 2, and nothing is left behind."""

import json
import os
import resource
import shutil
from pathlib import Path

import pytest
import torch

from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
CONFIG = CONFIGS / "proscale_m2f_r18_shapes.py"
DECODER = "model.panoptic_head.pixel_decoder"
IN_PROCESS = [
    f"{split}_dataloader.{key}"
    for split in ("train", "val", "test")
    for key in ("num_workers=0", "persistent_workers=False")
]


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(root, ShapesSpec(train=4, val=2, size=64))
    return root


@pytest.fixture
def shapes(original, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(original, tmp_path / "shapes"))


@pytest.fixture
def refused(run_tool, tmp_path):
    """Run a tool that must refuse; return its one line."""

    def run(tool, *arguments, options=()):
        options = ["--cfg-options", *IN_PROCESS, *options]
        status, _, error = run_tool(tool, *arguments, *options)
        lines = [line for line in error.splitlines() if line.startswith("error: ")]
        assert status == 2 and len(lines) == 1, error
        assert error.rstrip().endswith(lines[0]), "something follows the line"
        assert "Traceback" not in error
        return lines[0]

    return run


def train(refused, shapes, *options, config=CONFIG, work_dir="run"):
    options = [f"data_root={shapes}", "train_cfg.max_iters=1", *options]
    return refused("train.py", config, "--work-dir", work_dir, options=options)


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_missing_config(refused):
    line = refused("train.py", "configs/none.py")
    assert "configs/none.py is not a file" in line


def test_config_with_a_mistake(refused, tmp_path):
    (tmp_path / "broken.py").write_text("model = dict(\n")
    assert "broken.py can't be read" in refused("train.py", tmp_path / "broken.py")


def test_missing_dataset_root_says_what_is_expected_there(refused, shapes):
    line = train(refused, "nowhere", config=CONFIGS / "proscale_m2f_r18_camvid.py")
    for part in ("nowhere", "train/", "annotations/panoptic_train.json", "data_root"):
        assert part in line


def test_missing_annotation_file(refused, shapes):
    (shapes / "annotations" / "panoptic_train.json").unlink()
    assert "panoptic_train.json" in train(refused, shapes)


def test_missing_image_that_the_annotation_names(refused, shapes):
    image = sorted((shapes / "train").iterdir())[1]
    image.unlink()
    line = train(refused, shapes)
    assert image.name in line and "panoptic_train.json" in line


def test_unreadable_image(refused, shapes):
    for image in (shapes / "train").iterdir():
        image.write_bytes(image.read_bytes()[:50])
    line = train(refused, shapes)
    assert "cannot be read" in line and str(shapes / "train") in line


def test_unreadable_image_in_a_loaders_worker(refused, shapes):
    for image in (shapes / "train").iterdir():
        image.write_bytes(b"")
    line = train(refused, shapes, "train_dataloader.num_workers=1")
    assert line.startswith("error: [image-empty] '") and "cannot be read" in line


def test_no_annotated_image(refused, shapes):
    path = shapes / "annotations" / "panoptic_train.json"
    edit(path, lambda c: [a.update(segments_info=[]) for a in c["annotations"]])
    line = train(refused, shapes)
    assert "have no object" in line and "panoptic_train.json" in line


def add_category(shapes: Path, split: str) -> None:
    edit(
        shapes / "annotations" / f"panoptic_{split}.json",
        lambda c: c["categories"].append(dict(id=999, name="cone", isthing=1)),
    )


@pytest.mark.parametrize("split", ["train", "val"])
def test_class_counts_that_differ_stop_before_the_first_step(refused, shapes, split, tmp_path):
    add_category(shapes, split)
    line = train(refused, shapes)
    for part in ("5 thing and 4 stuff", "4 and 4", f"panoptic_{split}.json", "num_things_classes"):
        assert part in line
    assert not list((tmp_path / "run").glob("*.pth"))


def test_categories_in_another_order_than_the_training_sets(refused, shapes):
    path = shapes / "annotations" / "panoptic_val.json"
    edit(path, lambda c: c["categories"].reverse())
    line = train(refused, shapes)
    assert "label 0 'star', which is 'disc'" in line and "panoptic_val.json" in line


def test_an_image_that_cannot_be_scored_stops_before_the_first_step(refused, shapes, tmp_path):
    path = shapes / "annotations" / "panoptic_val.json"
    edit(path, lambda c: c["annotations"].pop())
    line = train(refused, shapes)
    assert f"'{path}' has no annotation of image" in line and "000001.jpg" in line
    assert not list((tmp_path / "run").glob("*.pth"))


@pytest.mark.parametrize(
    ("option", "parts"),
    [
        (f"{DECODER}.encoder.schedule.repeats=3,3", ("repeats=", "(32, 16, 8)")),
        (f"{DECODER}.encoder.schedule.repeats=0,1,1", ("repeats=0",)),
        (f"{DECODER}.encoder.schedule.levels=64,32,16", ("level 64", "no map")),
        (f"{DECODER}.encoder.schedule.type=proscale", ("proscale", "pro_scale")),
        (f"{DECODER}.encoder.num_layers=6", ("num_layers=6", "schedule=", "give one")),
        (f"{DECODER}.encoder.schedule.depth=2", ("depth",)),
        (f"{DECODER}.recalibraton.eps=1", ("'recalibraton'", "did you mean recalibration?")),
        (f"{DECODER}.type=mmproscale.ProScalePixelDecodr", ("ProScalePixelDecodr",)),
        ("train_dataloadr.batch_size=4", ("train_dataloadr", "did you mean train_dataloader?")),
    ],
)
def test_a_schedule_or_an_option_that_cannot_be(refused, shapes, option, parts):
    line = train(refused, shapes, option)
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (
            "train_dataloader.batch_size=0",
            "can't build dataloader: ValueError: batch_size should be",
        ),
        (
            "train_dataloader.dataset.pipeline=3",
            "can't build mmproscale.PanopticDataset: TypeError",
        ),
        ("train_dataloader=None", "has no train_dataloader, which is needed here"),
        ("train_cfg.max_iters=x", "train_cfg.max_iters='x': expected int"),
        ("train_cfg.val_interval=0", "has a value that does not fit: ZeroDivisionError"),
        ("optim_wrapper.optimizer.lr=-1", "can't build AdamW: ValueError: Invalid learning rate"),
        ("optim_wrapper.clip_grad.max_norm=x", "has a value that does not fit: ValueError: could"),
        (
            "default_hooks.checkpoint.interval=x",
            "default_hooks.checkpoint.interval='x': expected int",
        ),
        ("default_hooks.checkpoint=3", "default_hooks.checkpoint=3: expected a dict"),
        ("model=3", "model=3: expected a dict"),
        (
            "model.backbone.depth=17",
            "can't build mmdet.ResNet: KeyError: invalid depth 17 for resnet",
        ),
        ("model.panoptic_head.num_queries=0", "num_queries=0: expected 1 or more"),
        (
            "model.panoptic_head.loss_cls.class_weight=[1.0,1.0,0.1]",
            "loss_cls.class_weight has 3 weights, and 9 are needed",
        ),
        (
            "model.panoptic_head.loss_cls.class_weight=x",
            "loss_cls.class_weight='x': expected a list",
        ),
        ("model.train_cfg.num_points=0", "train_cfg.num_points=0: expected 1 or more"),
        ("model.test_cfg.iou_thr=x", "model.test_cfg.iou_thr='x': expected a number"),
        ("model.data_preprocessor.pad_size_divisor=0", "does not fit: ZeroDivisionError: division"),
    ],
)
def test_a_value_of_the_config_that_cannot_be(refused, shapes, option, said):
    init = [] if option == "model=3" else ["model.backbone.init_cfg=None"]
    assert said in train(refused, shapes, *init, option)


def test_a_full_disk_at_the_start_is_one_line(refused, shapes, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # less than the config takes
    try:
        line = train(refused, shapes, "model.backbone.init_cfg=None")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert line.startswith("error: run cannot be written: File too large; free space")


def test_work_dir_that_cannot_be_written(refused, shapes, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file/run" in train(refused, shapes, work_dir=tmp_path / "file" / "run")


def test_output_folder_that_cannot_be_written(refused, shapes, tmp_path, checkpoint):
    (tmp_path / "file").write_text("")
    line = refused("predict.py", CONFIG, checkpoint, shapes / "val", "--out", tmp_path / "file/x")
    assert "file/x" in line


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A checkpoint of the small model with random weights."""
    from mmengine.registry import MODELS, init_default_scope

    from mmproscale.utils.config import load_config

    init_default_scope("mmdet")
    path = tmp_path / "random.pth"
    torch.save({"state_dict": MODELS.build(load_config(CONFIG).model).state_dict()}, path)
    return path


@pytest.mark.parametrize("tool", ["test.py", "predict.py"])
def test_checkpoint_of_another_model(refused, shapes, tmp_path, checkpoint, tool):
    config = CONFIGS / "m2f_r18_camvid.py"
    arguments = [config, checkpoint]
    options = [f"data_root={shapes}"]
    if tool == "predict.py":
        arguments += [shapes / "val", "--out", tmp_path / "out"]
    else:
        # The model is what is wrong here, not the dataset.
        for head in ("panoptic_head", "panoptic_fusion_head"):
            options += [f"model.{head}.num_things_classes=4", f"model.{head}.num_stuff_classes=4"]
    assert "random.pth" in refused(tool, *arguments, options=options)
    assert not list((tmp_path / "out").glob("**/*.png"))


class RunsCode:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize("use", ["load_from", "resume", "test"])
def test_checkpoint_that_holds_code_is_refused_by_name_and_not_run(refused, shapes, tmp_path, use):
    path = tmp_path / "code.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "meta": RunsCode()}, path)
    if use == "test":
        line = refused("test.py", CONFIG, path, options=[f"data_root={shapes}"])
    elif use == "resume":
        arguments = ["train.py", CONFIG, "--resume", path]
        line = refused(*arguments, options=[f"data_root={shapes}"])
    else:
        line = train(refused, shapes, f"load_from={path}")
    assert "code.pth" in line and "system" in line
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tta", "--scales"], "--scales names no scale"),
        (["--tta", "--scales", "0"], "--scales 0: a scale is a positive number"),
        (["--scales", "0.5"], "add --tta"),
    ],
)
@pytest.mark.parametrize("tool", ["test.py", "predict.py"])
def test_scales_that_are_none(refused, shapes, checkpoint, tool, options, message):
    images = [shapes / "val", "--out", "out"] if tool == "predict.py" else []
    assert message in refused(tool, CONFIG, checkpoint, *images, *options)


@pytest.mark.parametrize("tool", ["test.py", "predict.py"])
def test_test_time_augmentation_of_another_model(refused, shapes, checkpoint, tool):
    images = [shapes / "val", "--out", "out"] if tool == "predict.py" else []
    stock = ["model.type=Mask2Former", *([] if images else [f"data_root={shapes}"])]
    line = refused(tool, CONFIG, checkpoint, *images, "--tta", options=stock)
    assert line.startswith("error: test-time augmentation needs mmproscale.UniversalSegmentor")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"not a checkpoint"])
def test_broken_checkpoint(refused, shapes, tmp_path, content):
    (tmp_path / "broken.pth").write_bytes(content)
    line = refused("test.py", CONFIG, tmp_path / "broken.pth", options=[f"data_root={shapes}"])
    assert "broken.pth" in line


def test_missing_checkpoint(refused, shapes):
    line = refused("test.py", CONFIG, "none.pth", options=[f"data_root={shapes}"])
    assert "none.pth" in line


def test_weights_that_cannot_be_fetched_say_how_to_start_without(refused, shapes, tmp_path):
    weights = dict(_delete_=True, type="Pretrained", checkpoint="http://127.0.0.1:9/resnet18.pth")
    config = tmp_path / "pretrained.py"
    config.write_text(f"_base_ = '{CONFIG}'\nmodel = dict(backbone=dict(init_cfg={weights}))\n")
    line = train(refused, shapes, config=config)
    assert "resnet18.pth" in line and "init_cfg=None" in line


def test_data_root_for_a_config_without_one(refused, tmp_path):
    (tmp_path / "bare.py").write_text("model = dict(type='Mask2Former')\n")
    line = refused("train.py", tmp_path / "bare.py", options=["data_root=x"])
    assert "bare.py has no data_root" in line


@pytest.fixture
def no_gpu(monkeypatch):
    """Machine without a GPU and without bf16, on any machine."""
    monkeypatch.setattr("mmproscale.training.mixed_precision.get_device", lambda: "cpu")
    monkeypatch.setattr("mmproscale.training.mixed_precision.cpu_has_bf16", lambda: False)


def test_amp_without_a_gpu(refused, shapes, no_gpu):
    line = refused("train.py", CONFIG, "--amp", options=[f"data_root={shapes}"])
    assert "--amp: PyTorch finds no GPU here" in line


def test_fp16_on_a_cpu(refused, shapes, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("mmengine.device.get_device", lambda: "cpu")
    half, root = ("--precision", "fp16"), [f"data_root={shapes}"]
    image = next((shapes / "val").iterdir())
    places = (image, "--out", tmp_path / "out", "--device", "cpu")
    for line in (
        refused("test.py", CONFIG, checkpoint, *half, options=root),
        refused("predict.py", CONFIG, checkpoint, *places, *half, options=root),
    ):
        assert "precision fp16 is for GPUs: use bf16 on a CPU" in line


def test_an_option_without_a_value(run_tool):
    status, _, error = run_tool("train.py", CONFIG, "--cfg-options", "foo")
    assert status == 2 and "--cfg-options foo: expected KEY=VALUE" in error


def test_a_dict_is_no_options_value(run_tool):
    options = (f"{DECODER}.norm_cfg=dict(type='GN', num_groups=8)", f"{DECODER}.norm_cfg={{}}")
    for option in options:
        status, _, error = run_tool("train.py", CONFIG, "--cfg-options", "a=1", option)
        assert status == 2 and f"give each of its keys as {DECODER}.norm_cfg.NAME=VALUE" in error


def test_a_launcher_that_did_not_start_the_process(refused, shapes, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    line = refused("train.py", CONFIG, "--launcher", "pytorch", options=[f"data_root={shapes}"])
    assert "RANK is not set: start the processes by tools/dist_train.sh" in line


def test_predictions_that_cannot_be_kept_are_refused_before_the_evaluation(
    refused, shapes, tmp_path, checkpoint
):
    (tmp_path / "file").write_text("")
    arguments = [CONFIG, checkpoint, "--out", tmp_path / "file" / "x"]
    assert "file/x" in refused("test.py", *arguments, options=[f"data_root={shapes}"])


def test_a_stock_config_gets_the_checks_too(refused, shapes, tmp_path, checkpoint):
    config = tmp_path / "stock.py"
    config.write_text(
        f"_base_ = '{CONFIGS / 'm2f_r18_camvid.py'}'\n"
        "custom_hooks = []\n"
        "default_hooks = dict(checkpoint=dict(type='CheckpointHook'))\n"
    )
    options = [f"data_root={shapes}"]
    for head in ("panoptic_head", "panoptic_fusion_head"):
        options += [f"model.{head}.num_things_classes=4", f"model.{head}.num_stuff_classes=4"]
    assert "random.pth" in refused("test.py", config, checkpoint, options=options)
