"""A small universal model whose results are not void, though its weights are random."""

import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmproscale.utils.config import load_config


def random_model_config(configs):
    """Return the model of m2f_r18_shapes, with low thresholds: it gives uncertain results too."""
    init_default_scope("mmdet")
    model = load_config(configs / "m2f_r18_shapes.py").model
    model.test_cfg.update(object_mask_thr=0.0, iou_thr=0.0, instance_on=True)
    return model


def build_random(config) -> nn.Module:
    torch.manual_seed(3)  # one that gives several segments
    model = MODELS.build(config).eval()
    model.init_weights()
    nn.init.normal_(model.panoptic_head.cls_embed.weight)
    return model
