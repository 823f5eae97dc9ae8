"""A stock mmdet config, its pixel decoder replaced by ours, on two real COCO images."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

STOCK = """
_base_ = "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py"
custom_imports = dict(imports=["mmproscale"])
model = dict(
    panoptic_head=dict(
        pixel_decoder=dict(
            type="mmproscale.ProScalePixelDecoder",
            encoder=dict(num_layers=None, schedule=dict(type="pro_scale", repeats=(1, 1, 1))),
        )
    )
)
"""
# The data root, sizes and weights: what anyone would override to try it.
OVERRIDES = {
    "model.backbone.init_cfg": None,
    "model.backbone.norm_cfg.requires_grad": True,
    "model.data_preprocessor.batch_augments.0.size": (128, 128),
    "model.panoptic_head.num_queries": 12,
    "model.panoptic_head.transformer_decoder.num_layers": 3,
    "model.train_cfg.num_points": 256,
    "train_cfg.max_iters": 1,
    "train_pipeline": None,
    "val_dataloader": None,
    "val_evaluator": None,
    "val_cfg": None,
    "test_dataloader.num_workers": 0,
    "test_dataloader.persistent_workers": False,
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
    "default_hooks.checkpoint.save_last": False,
}


@pytest.fixture
def coco(shared, tmp_path) -> Path:
    """Return the sample in COCO's own layout, as train and val alike."""
    sample, root = shared / "data" / "coco_panoptic_sample", tmp_path / "coco"
    for split in ("train2017", "val2017"):
        shutil.copytree(sample / "images", root / split)
        shutil.copytree(sample / "panoptic_val2017", root / "annotations" / f"panoptic_{split}")
        shutil.copy(
            sample / "panoptic_examples.json", root / "annotations" / f"panoptic_{split}.json"
        )
    return root


def test_stock_config_with_our_pixel_decoder_trains_a_step_and_predicts(coco, tmp_path):
    (tmp_path / "stock.py").write_text(STOCK)
    config = Config.fromfile(tmp_path / "stock.py")
    config.merge_from_dict(OVERRIDES)
    config.work_dir = str(tmp_path / "work_dir")
    for loader in (config.train_dataloader, config.test_dataloader):
        loader.dataset.data_root = f"{coco}/"
    for transform in config.train_dataloader.dataset.pipeline:
        if "scale" in transform:
            transform.scale = (128, 128)
        if "crop_size" in transform:
            transform.crop_size = (128, 128)
    config.test_dataloader.dataset.pipeline[1].scale = (160, 96)
    config.test_evaluator = dict(
        type="CocoPanopticMetric",
        ann_file=f"{coco}/annotations/panoptic_val2017.json",
        seg_prefix=f"{coco}/annotations/panoptic_val2017/",
    )
    config.experiment_name = "stock"
    runner = Runner.from_cfg(config)
    assert runner.model.panoptic_head.pixel_decoder.encoder.schedule.name == "PRO-SCALE (1,1,1)"
    before = runner.model.panoptic_head.pixel_decoder.mask_feature.weight.detach().clone()
    runner.train()
    assert runner.iter == 1
    assert not torch.equal(before, runner.model.panoptic_head.pixel_decoder.mask_feature.weight)
    metrics = runner.test()
    assert 0 <= metrics["coco_panoptic/PQ"] <= 100
    truth = json.loads((coco / "annotations/panoptic_val2017.json").read_text())
    assert len(runner.test_dataloader.dataset) == len(truth["images"]) == 2
