"""Stock mmseg Mask2Former configs, nothing but their pixel decoder replaced by one of ours."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

STOCK = """
_base_ = "mmseg::mask2former/{name}.py"
custom_imports = dict(imports=["mmproscale"])
model = dict(decode_head=dict(pixel_decoder={pixel_decoder}))
"""
DECODERS = {
    "PRO-SCALE (1,1,1)": """dict(
        type="mmproscale.ProScalePixelDecoder",
        encoder=dict(num_layers=None, schedule=dict(type="pro_scale", repeats=(1, 1, 1))),
    )""",
    "M2F x6": 'dict(type="mmproscale.DeformablePixelDecoder")',
    "RT": """dict(
        type="mmproscale.HybridPixelDecoder",
        encoder=dict(
            num_layers=1, layer_cfg=dict(ffn_cfg=dict(act_cfg=dict(_delete_=True, type="GELU")))
        ),
    )""",
}
# Weights, sizes and files: what anyone would override to try it.
OVERRIDES = {
    "model.backbone.init_cfg": None,
    "model.data_preprocessor.size": (64, 64),
    "model.decode_head.num_queries": 12,
    "model.decode_head.transformer_decoder.num_layers": 2,
    "model.decode_head.train_cfg.num_points": 64,
    "train_cfg.max_iters": 1,
    "val_dataloader": None,
    "val_evaluator": None,
    "val_cfg": None,
    "default_hooks.checkpoint.save_last": False,
    "default_hooks.checkpoint.save_best": None,
}
LAYOUT = {
    "mask2former_r50_8xb2-90k_cityscapes-512x1024": (
        ("leftImg8bit/{}/a/a_0_leftImg8bit.png", "gtFine/{}/a/a_0_gtFine_labelTrainIds.png"),
        ("train", "val"),
    ),
    "mask2former_swin-t_8xb2-160k_ade20k-512x512": (
        ("images/{}/a.jpg", "annotations/{}/a.png"),
        ("training", "validation"),
    ),
}


def write_images(root, names, splits) -> None:
    random = np.random.default_rng(0)
    for split in splits:
        image, labels = (root / name.format(split) for name in names)
        for path in (image, labels):
            path.parent.mkdir(parents=True)
        cv2.imwrite(str(image), random.integers(0, 255, (48, 80, 3), np.uint8))
        cv2.imwrite(str(labels), np.repeat(np.array([1, 2, 9, 12], np.uint8), 960).reshape(48, 80))


def small(config: Config, root) -> None:
    """Make loaders and pipelines small, in place."""
    if "norm_cfg" in config.model.backbone:
        config.model.backbone.norm_cfg.type = "BN"  # SyncBN needs GPUs
    for loader in (config.train_dataloader, config.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False, batch_size=1)
        loader.dataset.data_root = str(root)
        for step in loader.dataset.pipeline:
            small_values = dict(scales=[48, 64], scale=(96, 64), crop_size=(64, 64))
            step.update({key: small_values[key] for key in small_values if key in step})


@pytest.mark.parametrize("name", LAYOUT)
@pytest.mark.parametrize("decoder", DECODERS)
def test_trains_a_step_and_predicts(name, decoder, tmp_path):
    if "swin" in name and decoder != "PRO-SCALE (1,1,1)":
        pytest.skip("the backbone and the decoder are each tested with another")
    write_images(tmp_path / "data", *LAYOUT[name])
    path = tmp_path / "stock.py"
    path.write_text(STOCK.format(name=name, pixel_decoder=DECODERS[decoder]))
    config = Config.fromfile(path)
    config.merge_from_dict(OVERRIDES)
    small(config, tmp_path / "data")
    config.work_dir, config.experiment_name = str(tmp_path / "run"), f"{name} {decoder}"
    runner = Runner.from_cfg(config)
    head = runner.model.decode_head
    assert type(head).__module__.startswith("mmseg.")
    assert type(head.pixel_decoder).__module__.startswith("mmproscale.")
    before = head.pixel_decoder.mask_feature.weight.detach().clone()
    runner.train()
    assert runner.iter == 1
    assert not torch.equal(before, head.pixel_decoder.mask_feature.weight)
    assert 0 <= runner.test()["mIoU"] <= 100
