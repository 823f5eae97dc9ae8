"""Small models of mmdet's configs of Deformable DETR, DINO and DDQ, and the same models of ours."""

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

STOCK = {
    "DeformableDETR": "mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py",
    "DINO": "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py",
    "DDQDETR": "mmdet::ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py",
}
DIMS = 256  # mmdet's DINO knows no other
CHANGES = {
    "num_queries": 20,
    "backbone": dict(
        _delete_=True,
        type="ResNet",
        depth=18,
        base_channels=8,
        out_indices=(1, 2, 3),
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=True,
    ),
    "neck.in_channels": [16, 32, 64],
    "neck.out_channels": DIMS,
    "encoder.num_layers": 3,
    "encoder.layer_cfg.self_attn_cfg.embed_dims": DIMS,
    "encoder.layer_cfg.ffn_cfg.embed_dims": DIMS,
    "encoder.layer_cfg.ffn_cfg.feedforward_channels": 48,
    "decoder.num_layers": 2,
    "decoder.layer_cfg.self_attn_cfg.embed_dims": DIMS,
    "decoder.layer_cfg.cross_attn_cfg.embed_dims": DIMS,
    "decoder.layer_cfg.ffn_cfg.embed_dims": DIMS,
    "decoder.layer_cfg.ffn_cfg.feedforward_channels": 48,
    "positional_encoding.num_feats": DIMS // 2,
    "bbox_head.num_classes": 5,
    "test_cfg.max_per_img": 20,
}


def detector_config(name: str, **changes) -> Config:
    """Return mmdet's config of the model, but small, with ``changes`` by dotted key."""
    config = get_config(STOCK[name])
    config.merge_from_dict({f"model.{key}": value for key, value in CHANGES.items()})
    if name != "DeformableDETR":
        config.model.dn_cfg.group_cfg.num_dn_queries = 10
    config.merge_from_dict({f"model.{key}": value for key, value in changes.items()})
    return config.model


def build_detector(name: str, **changes) -> torch.nn.Module:
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(detector_config(name, **changes))
        model.init_weights()
    return model


def scheduled(name: str, encoder: dict | None = None, **changes) -> torch.nn.Module:
    """Ours, with stock's plain schedule or another encoder's keys."""
    changes |= {f"encoder.{key}": value for key, value in (encoder or {}).items()}
    return build_detector(name, type=f"mmproscale.Scheduled{name}", **changes)


def stir(model: torch.nn.Module) -> None:
    """Weights that mmcv starts at zero, offsets and weights of its attention, become noise."""
    for key, parameter in model.named_parameters():
        if "sampling_offsets.weight" in key or "attention_weights.weight" in key:
            torch.nn.init.normal_(parameter, std=0.03)


def batch(sizes=((96, 64), (72, 112), (60, 50))):
    """Images of several sizes in one padded batch, and their data samples with boxes."""
    height, width = (max(s[axis] for s in sizes) for axis in (0, 1))
    images = torch.zeros(len(sizes), 3, height, width)
    samples = []
    for image, (h, w) in zip(images, sizes, strict=True):
        image[:, :h, :w] = torch.randn(3, h, w)
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(h, w),
                ori_shape=(h, w),
                batch_input_shape=(height, width),
                pad_shape=(height, width),
                scale_factor=(1.0, 1.0),
            )
        )
        corner = torch.rand(3, 2) * torch.tensor([w, h]) / 2
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([corner, corner + torch.tensor([w, h]) / 3], 1),
            labels=torch.tensor([0, 3, 4]),
        )
        samples.append(sample)
    return images, samples
