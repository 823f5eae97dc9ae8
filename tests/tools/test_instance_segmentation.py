"""Instance segmentation: the configs for COCO's instances train and evaluate with the tools."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_instances import CATEGORIES, write_tiny_instances
from mmengine.registry import init_default_scope

from mmproscale.utils.config import load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
# The annotation file names a user's classes; the network is small enough for a test.
MINE = """
_base_ = "{base}"
num_classes = {num_classes}
model = dict(
    backbone=dict(
        depth=18, init_cfg=None, norm_cfg=dict(requires_grad=True), norm_eval=False
    ),
    panoptic_head=dict(
        in_channels=[64, 128, 256, 512],
        num_things_classes=num_classes,
        num_queries=40,
        pixel_decoder=dict(encoder=dict(schedule=dict(repeats=(1, 1, 1)))),
        transformer_decoder=dict(num_layers=1),
        loss_cls=dict(class_weight=[1.0] * num_classes + [0.1]),
    ),
    panoptic_fusion_head=dict(num_things_classes=num_classes),
    train_cfg=dict(num_points=64),
)
"""
QUICK = [
    *(
        f"{split}_dataloader.{key}"
        for split in ("train", "val", "test")
        for key in ("num_workers=0", "persistent_workers=False")
    ),
    "train_cfg.max_iters=2",
    "train_cfg.val_interval=2",
    "train_cfg.dynamic_intervals=None",
    "default_hooks.checkpoint.interval=2",
    "default_hooks.logger.interval=1",
    "model.data_preprocessor.batch_augments.0.size=128,128",
    "train_dataloader.dataset.pipeline.3.scale=(128,128)",
    "train_dataloader.dataset.pipeline.4.crop_size=(128,128)",
    "val_dataloader.dataset.pipeline.1.scale=(128,96)",
    "test_dataloader.dataset.pipeline.1.scale=(128,96)",
]


@pytest.fixture
def coco(tmp_path) -> Path:
    write_tiny_instances(tmp_path / "coco")
    return tmp_path / "coco"


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / "mine.py"
    base = CONFIGS / "proscale_m2f_r50_coco-instance.py"
    path.write_text(MINE.format(base=base, num_classes=len(CATEGORIES)))
    return path


def test_trains_and_evaluates(run_tool, coco, config, tmp_path):
    options = ["--cfg-options", f"data_root={coco}", *QUICK]
    work_dir = tmp_path / "run"
    status, _, error = run_tool("train.py", config, "--work-dir", work_dir, *options)
    assert status == 0, error
    scalars = [json.loads(s) for s in next(work_dir.glob("*/vis_data/scalars.json")).open()]
    losses = [record["loss"] for record in scalars if "loss" in record]
    assert len(losses) == 2 and np.isfinite(losses).all()

    status, _, error = run_tool(
        "test.py", config, work_dir / "iter_2.pth", "--work-dir", tmp_path / "test", *options
    )
    assert status == 0, error
    metrics = json.loads(next((tmp_path / "test").glob("*/*.json")).read_text())
    assert {"coco/bbox_mAP", "coco/segm_mAP"} <= set(metrics)


def test_data_root_moves_every_path(coco):
    config = load_config(CONFIGS / "m2f_swin-t_coco-instance.py", {"data_root": coco})
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        assert loader.dataset.data_root == f"{coco}/"
    for evaluator in (config.val_evaluator, config.test_evaluator):
        assert Path(evaluator.ann_file).parent.parent == coco


def test_the_pipeline_reads_polygons_and_rle_and_leaves_out_crowds(coco, config):
    from mmengine.registry import DATASETS

    init_default_scope("mmdet")
    cfg = load_config(config, {"data_root": coco}).train_dataloader.dataset
    del cfg.pipeline[2:6]  # what is random
    dataset = DATASETS.build(cfg)
    instances = dataset[0]["data_samples"].gt_instances
    assert instances.labels.tolist() == [0, 1]
    assert [int(mask.sum()) for mask in instances.masks.masks] == [20 * 24] * 2


def test_other_classes_than_the_models_are_one_line(run_tool, coco, tmp_path):
    status, _, error = run_tool(
        "train.py",
        CONFIGS / "proscale_m2f_r50_coco-instance.py",
        "--work-dir",
        tmp_path / "run",
        "--cfg-options",
        f"data_root={coco}",
        "model.backbone.init_cfg=None",
        *QUICK,
    )
    lines = error.strip().splitlines()
    assert status == 2 and lines[-1].startswith("error: ") and "Traceback" not in error
    assert "instances_train2017.json': categories have 3 thing and 0 stuff classes" in lines[-1]
    assert "model.panoptic_head has 80 and 0" in lines[-1]


def test_a_broken_annotation_stops_training_and_the_check_names_it(
    run_tool, coco, config, tmp_path
):
    path = coco / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][4]["bbox"][0] = float("nan")
    path.write_text(json.dumps(content))
    options = ["--cfg-options", f"data_root={coco}", *QUICK]
    status, _, error = run_tool("train.py", config, "--work-dir", tmp_path / "run", *options)
    line = error.strip().splitlines()[-1]
    assert status == 2 and line.startswith("error: [box-not-finite]") and str(path) in line
    assert "annotations[4].bbox" in line
    status, out, _ = run_tool("check_dataset.py", config, "--workers", 1, *options[:2])
    assert status == 1 and "fault box-not-finite: 1" in out
