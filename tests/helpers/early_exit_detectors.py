"""Small detectors of every kind whose encoder images may leave early."""

import torch
from helpers.tiny_detectors import CHANGES, DIMS, build_detector, scheduled, stir
from mmdet.registry import MODELS
from mmengine.hub import get_config
from mmengine.registry import DefaultScope

GATE = dict(type="ExitGate")
LAYERS = 4
STOCK_DETR = "mmdet::detr/detr_r50_8xb2-150e_coco.py"
NAMES = ("DETR", "DINO", "DeformableDETR", "DDQDETR")


def detr(**changes) -> torch.nn.Module:
    """mmdet's DETR, small; with ``type='mmproscale.EarlyExitDETR'`` ours."""
    config = get_config(STOCK_DETR)
    keys = ("num_queries", "backbone", "encoder.layer_cfg.ffn_cfg.feedforward_channels")
    small = {key: CHANGES[key] for key in (*keys, "bbox_head.num_classes")}
    small["decoder.layer_cfg.ffn_cfg.feedforward_channels"] = 48
    small |= {"backbone.out_indices": (3,), "neck.in_channels": [64], "decoder.num_layers": 2}
    small |= {"encoder.num_layers": LAYERS, "test_cfg.max_per_img": 20} | changes
    config.merge_from_dict({f"model.{key}": value for key, value in small.items()})
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(config.model)
        model.init_weights()
    return model


def early_exit(name: str, **changes) -> torch.nn.Module:
    """A detector of four encoder layers with a gate that tells images apart."""
    changes = dict(exit_gate=GATE) | changes
    if name == "DETR":
        model = detr(type="mmproscale.EarlyExitDETR", **changes)
    else:
        model = scheduled(name, dict(num_layers=LAYERS), **changes)
    stir(model)
    if model.exit_gate:
        torch.nn.init.normal_(model.exit_gate.linear.weight, std=50)
    return model


__all__ = ["DIMS", "GATE", "LAYERS", "NAMES", "build_detector", "detr", "early_exit"]
