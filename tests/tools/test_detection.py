"""Detectors through the tools: they train, score, predict, and say what does not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_instances import CATEGORIES, write_tiny_instances
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mmproscale.utils.config import load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
MINE = """
_base_ = "{base}"
model = dict(
    num_queries=20,
    decoder=dict(num_layers=1),
    bbox_head=dict(num_classes={num_classes}),
    test_cfg=dict(max_per_img=20),
)
here = dict(num_workers=0, persistent_workers=False)
train = dict(ann_file="annotations/instances_train2017.json", data_prefix=dict(img="train2017/"))
val = dict(ann_file="annotations/instances_val2017.json", data_prefix=dict(img="val2017/"))
train_dataloader = dict(**here, dataset=train)
val_dataloader = dict(**here, batch_size=2, dataset=val)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file="data/shapes/annotations/instances_val2017.json")
test_evaluator = val_evaluator
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=1))
del here, train, val
"""


@pytest.fixture
def coco(tmp_path) -> Path:
    write_tiny_instances(tmp_path / "coco")
    return tmp_path / "coco"


@pytest.fixture
def config(tmp_path) -> Path:
    return write_config(tmp_path)


def write_config(folder, num_classes=3):
    path = folder / "mine.py"
    base = CONFIGS / "proscale_dino_r18_shapes.py"
    path.write_text(MINE.format(base=base, num_classes=num_classes))
    return path


def save_checkpoint(config, path):
    loaded = load_config(config)
    init_default_scope("mmdet")
    categories = [dict(c, isthing=1) for c in CATEGORIES]
    meta = dict(classes=tuple(c["name"] for c in CATEGORIES), categories=categories)
    model = MODELS.build(loaded.model)
    model.init_weights()  # without it mmdet's level embedding is what the memory held
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta)), path)


def test_trains_scores_and_keeps_boxes(run_tool, coco, config, tmp_path):
    options = ["--cfg-options", f"data_root={coco}"]
    work_dir = tmp_path / "run"
    status, _, error = run_tool("train.py", config, "--work-dir", work_dir, *options)
    assert status == 0, error
    scalars = [json.loads(s) for s in next(work_dir.glob("*/vis_data/scalars.json")).open()]
    losses = [record["loss"] for record in scalars if "loss" in record]
    assert len(losses) == 2 and np.isfinite(losses).all()

    prefix = tmp_path / "kept" / "mine"
    arguments = ("--work-dir", tmp_path / "test", "--out", prefix, *options)
    status, _, error = run_tool("test.py", config, work_dir / "iter_2.pth", *arguments)
    assert status == 0, error
    metrics = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert 0 <= metrics["coco/bbox_mAP"] <= 1
    boxes = json.loads(Path(f"{prefix}.bbox.json").read_text())
    assert len(boxes) == 2 * 20 and {b["category_id"] for b in boxes} <= {18, 3, 7}


def test_predicts_boxes_and_pictures(run_tool, coco, config, tmp_path):
    save_checkpoint(config, tmp_path / "weights.pth")
    arguments = (config, tmp_path / "weights.pth", coco / "val2017", "--out", tmp_path / "out")
    status, _, error = run_tool("predict.py", *arguments, "--device", "cpu")
    assert status == 0, error
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "detections.json",
        "images.json",
        "pictures",
        "results.jsonl",
    ]
    known = json.loads((tmp_path / "out/images.json").read_text())
    assert [c["id"] for c in known["categories"]] == [c["id"] for c in CATEGORIES]
    sizes = {image["id"]: (image["width"], image["height"]) for image in known["images"]}
    detections = json.loads((tmp_path / "out/detections.json").read_text())
    assert len(detections) == 2 * 20
    for found in detections:
        x, y, width, height = found["bbox"]
        assert 0 <= x <= x + width <= sizes[found["image_id"]][0] + 1e-3
        assert 0 <= y <= y + height <= sizes[found["image_id"]][1] + 1e-3
    for picture in (tmp_path / "out/pictures").iterdir():
        assert min(Image.open(picture).size) == 480


@pytest.mark.parametrize(
    ("part", "value", "text"),
    [
        ("level_embed", float("nan"), "weights of state_dict are not finite (first: level_embed)"),
        ("reg_branches", 3e38, "boxes or scores that are not finite"),  # infinite in the model
    ],
)
def test_numbers_that_are_not_finite_are_one_line(
    run_tool, coco, config, tmp_path, part, value, text
):
    save_checkpoint(config, tmp_path / "weights.pth")
    saved = torch.load(tmp_path / "weights.pth")
    for key, weight in saved["state_dict"].items():
        if part in key:
            weight.fill_(value)
    torch.save(saved, tmp_path / "weights.pth")
    arguments = (config, tmp_path / "weights.pth", coco / "val2017", "--out", tmp_path / "out")
    status, _, error = run_tool("predict.py", *arguments)
    assert status == 2 and text in error


def test_what_a_detector_has_not_is_one_line(run_tool, coco, config, tmp_path):
    save_checkpoint(config, tmp_path / "weights.pth")
    arguments = (config, tmp_path / "weights.pth", coco / "val2017", "--out", tmp_path / "out")
    status, _, error = run_tool("predict.py", *arguments, "--kinds", "panoptic")
    assert status == 2 and "ScheduledDINO gives only boxes: leave --kinds out" in error
    for tool, more in (("predict.py", arguments), ("test.py", arguments[:2])):
        status, _, error = run_tool(tool, *more, "--tta")
        assert status == 2 and "--tta merges masks" in error


def test_other_classes_than_the_models_are_one_line(run_tool, coco, tmp_path):
    config = write_config(tmp_path, num_classes=4)
    options = ("--cfg-options", f"data_root={coco}")
    status, _, error = run_tool("train.py", config, "--work-dir", tmp_path / "run", *options)
    assert status == 2 and "Traceback" not in error
    assert "have 3 classes, but model.bbox_head has 4: set num_classes" in error
    status, out, _ = run_tool("check_dataset.py", config, "--workers", 1, *options)
    assert status == 1 and "bbox_head" in out


def test_cost_is_the_schedules_and_mmdets(run_tool, configs):
    ours = [configs / f"{name}_r18_shapes.py" for name in ("dino", "proscale_dino", "lite_dino")]
    status, out, error = run_tool("cost.py", *ours, "--shape", 128, 128, "--json")
    assert status == 0, error
    shapes = {8: (16, 16), 16: (8, 8), 32: (4, 4), 64: (2, 2)}
    for path, one in zip(ours, json.loads(out), strict=True):
        init_default_scope("mmdet")
        encoder = MODELS.build(load_config(path).model).encoder
        layers = sum(encoder.schedule.cost(shapes, **encoder.widths)) / 1e9
        gates = sum(p["gmacs"] for p in one["parts"] if p["name"] == "token recalibration")
        assert one["pixel_decoder"] == pytest.approx(layers + gates, rel=1e-9)
        assert one["total"] == pytest.approx(sum(p["gmacs"] for p in one["parts"]))
        assert min(part["gmacs"] for part in one["parts"]) >= 0
    status, out, _ = run_tool("cost.py", *ours, "--shape", 128, 128)
    assert status == 0 and "encoder (Tx." in out and "published" not in out


def test_benchmark_times_encoder_and_decoder_apart(run_tool, configs, tmp_path):
    ours = [configs / f"{name}_r18_shapes.py" for name in ("proscale_dino", "dino")]
    out = tmp_path / "times.json"
    options = ("--rounds", 1, "--warm-up", 0, "--no-memory", "--threads", 1, "--json", out)
    arguments = (ours[0], "--against", ours[1], "--shape", 128, 128, *options)
    status, _, error = run_tool("benchmark.py", *arguments)
    assert status == 0, error
    for candidate in json.loads(out.read_text())["candidates"]:
        assert list(candidate["parts"]) == ["backbone", "encoder", "decoder, boxes", "whole"]
        assert all(part["ms"]["median"] > 0 for part in candidate["parts"].values())
