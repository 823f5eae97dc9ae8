"""Configs of Cityscapes, ADE20K, CamVid: classes, schedule, paths are those of their dataset."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import convert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope

from mmproscale.utils.config import load_config

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
    if dataset == "cityscapes" and method.startswith("proscale"):
        assert config.param_scheduler.milestones == [0.9 * iterations, 0.95 * iterations]
    else:
        assert (config.param_scheduler.type, config.param_scheduler.power) == ("PolyLR", 0.9)
    cropped = next(t for t in config.train_pipeline if t["type"] == "RandomCrop")
    (padding,) = config.model.data_preprocessor.batch_augments
    assert tuple(cropped["crop_size"]) == crop == tuple(padding["size"])[::-1]

    assert config.test_dataloader == config.val_dataloader
    assert config.test_evaluator == config.val_evaluator
    moved = [text for text in strings(config.to_dict()) if text.startswith("/elsewhere/")]
    assert len(moved) == 8  # data_root, three loaders', and two paths of each evaluator
    assert not [text for text in strings(config.to_dict()) if text.startswith("data/")]


@pytest.mark.parametrize("method", [*METHODS, "lite_m2f_r50", "lite_m2f_swin-t"])
@pytest.mark.parametrize(
    ("dataset", "stock"),
    [("cityscapes", "90k_cityscapes-512x1024"), ("ade20k", "160k_ade20k-512x512")],
)
def test_semantic_recipes_are_mmsegs(method, dataset, stock):
    """All but where the data lie, and the parts of ours that say more of bad input."""
    config = load_config(CONFIGS / f"{method}_{dataset}-semantic.py", {"data_root": "/elsewhere"})
    backbone = method.rpartition("_")[2]
    theirs = Config.fromfile(_stock_config(f"mask2former_{backbone}_8xb2-{stock}.py"))

    assert config.model.type == "mmproscale.SemanticSegmentor"  # mmseg's, with tests of any batch
    assert theirs.model.type == "EncoderDecoder"
    assert config.default_scope == theirs.default_scope == "mmseg"
    head, other = config.model.decode_head, theirs.model.decode_head
    assert head.type == "mmproscale.MaskDecodeHead"
    for key in ("num_classes", "in_channels", "num_queries", "loss_mask", "loss_dice"):
        assert head[key] == other[key], key
    assert head.loss_cls.class_weight == other.loss_cls.class_weight
    assert head.train_cfg == other.train_cfg
    assert config.model.data_preprocessor == theirs.model.data_preprocessor
    assert config.model.test_cfg.mode == "whole"

    assert config.train_cfg.max_iters == config.param_scheduler.end == theirs.train_cfg.max_iters
    (rate,) = theirs.param_scheduler
    assert config.param_scheduler == rate
    for key in ("optimizer", "clip_grad"):
        assert config.optim_wrapper[key] == theirs.optim_wrapper[key]
    for split in ("train", "test"):
        ours, stocks = (_random_steps(c[f"{split}_dataloader"]) for c in (config, theirs))
        assert ours == stocks
    assert config.test_evaluator == dict(type="IoUMetric", iou_metrics=["mIoU"])
    assert config.test_dataloader == config.val_dataloader
    assert not [text for text in strings(config.to_dict()) if text.startswith("data/")]


@pytest.mark.parametrize("name", ["m2f_r50_cityscapes", "proscale_m2f_r50_cityscapes-semantic"])
def test_cityscapes_batch_norms_are_trained_plain_on_a_cpu_and_synchronised_over_gpus(name):
    config = load_config(CONFIGS / f"{name}.py")
    init_default_scope(config.default_scope)
    backbone = MODELS.build(dict(config.model.backbone, init_cfg=None))
    backbone.train()
    assert type(backbone.bn1) is torch.nn.BatchNorm2d
    assert backbone.bn1.training and backbone.bn1.weight.requires_grad
    before = backbone.bn1.running_mean.clone()
    backbone(torch.rand(2, 3, 64, 64))  # raises with SyncBN on a CPU
    assert not torch.equal(backbone.bn1.running_mean, before)
    # What mmengine's Runner does in a distributed run, and only there.
    synchronised = convert_sync_batchnorm(backbone, config.sync_bn)
    assert isinstance(synchronised.layer4[2].bn3, torch.nn.SyncBatchNorm)


def _stock_config(name):
    import mmseg

    return Path(mmseg.__file__).parent / ".mim/configs/mask2former" / name


def _random_steps(loader):
    """Steps of a pipeline but for those that load."""
    return [step for step in loader.dataset.pipeline if "Load" not in step["type"]]


@pytest.mark.parametrize("method", ["m2f_r18", "proscale_m2f_r18", "lite_m2f_r18"])
def test_camvids_classes_come_from_its_panoptic_files(method):
    config = load_config(CONFIGS / f"{method}_camvid-semantic.py", {"data_root": "/elsewhere"})
    panoptic = load_config(CONFIGS / "m2f_r18_camvid.py", {"data_root": "/elsewhere"})
    head = config.model.decode_head
    assert head.num_classes == panoptic.num_things_classes + panoptic.num_stuff_classes == 11
    assert head.loss_cls.class_weight == [1.0] * 11 + [0.1]
    for key in ("type", "ann_file", "data_prefix", "data_root"):
        assert config.train_dataloader.dataset[key] == panoptic.train_dataloader.dataset[key]
    for key in ("optim_wrapper", "param_scheduler", "train_cfg"):
        assert config[key] == panoptic[key]
