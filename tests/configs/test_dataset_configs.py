"""Configs of Cityscapes and ADE20K: classes, schedule and paths are those of their dataset."""

from pathlib import Path

import pytest

from mmproscale.apis.config import load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
METHODS = ["m2f_r50", "m2f_swin-t", "proscale_m2f_r50", "proscale_m2f_swin-t"]


def strings(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("dataset", "things", "stuff", "iterations", "crop"),
    [("cityscapes", 8, 11, 90000, (1024, 512)), ("ade20k", 100, 50, 160000, (640, 640))],
)
def test_classes_schedule_crops_and_paths(method, dataset, things, stuff, iterations, crop):
    path = CONFIGS / f"{method}_{dataset}.py"
    config = load_config(path, {"data_root": "/elsewhere"})
    head, fusion = config.model.panoptic_head, config.model.panoptic_fusion_head
    for part in (head, fusion):
        assert (part.num_things_classes, part.num_stuff_classes) == (things, stuff)
    assert head.loss_cls.class_weight == [1.0] * (things + stuff) + [0.1]

    assert config.train_cfg.max_iters == config.param_scheduler.end == iterations
    if dataset == "cityscapes":
        assert config.param_scheduler.milestones == [0.9 * iterations, 0.95 * iterations]
    cropped = next(t for t in config.train_pipeline if t["type"] == "RandomCrop")
    (padding,) = config.model.data_preprocessor.batch_augments
    assert tuple(cropped["crop_size"]) == crop == tuple(padding["size"])[::-1]

    assert config.test_dataloader == config.val_dataloader
    assert config.test_evaluator == config.val_evaluator
    moved = [text for text in strings(config.to_dict()) if text.startswith("/elsewhere/")]
    assert len(moved) == 8  # data_root, three loaders', and two paths of each evaluator
    assert not [text for text in strings(config.to_dict()) if text.startswith("data/")]
