"""Small Mask2Former heads, ours and mmdet's own, and ground truth for them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from mmdet.models.dense_heads import Mask2FormerHead
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from mmproscale.models.heads import PanopticHead

CONFIGS = Path(__file__).parents[2] / "configs"
THINGS, STUFF = 5, 3
SIZE = 64


def head_config() -> ConfigDict:
    """Arguments of a head with three decoder layers, from the small model's config."""
    init_default_scope("mmdet")  # an earlier test may have left another scope
    model = Config.fromfile(CONFIGS / "m2f_r18_shapes.py").model
    head = model.panoptic_head
    head.pop("type")
    head.num_things_classes, head.num_stuff_classes, head.num_queries = THINGS, STUFF, 20
    head.loss_cls.class_weight = [1.0, 2.0, 1.0, 0.5, 1.0, 1.0, 1.5, 1.0, 0.1]
    head.train_cfg = model.train_cfg
    head.train_cfg.num_points = 256
    return head


def build_ours() -> PanopticHead:
    head = PanopticHead(**head_config())
    head.init_weights()
    return head


def build_stock(like: PanopticHead) -> Mask2FormerHead:
    """mmdet's head around its own pixel decoder, with the weights of ours."""
    config = head_config()
    encoder = config.pixel_decoder.encoder
    schedule = encoder.pop("schedule")
    encoder.num_layers = schedule["layers"]
    config.pixel_decoder.type = "mmdet.MSDeformAttnPixelDecoder"
    head = Mask2FormerHead(**config)
    head.load_state_dict(like.state_dict())
    return head


def backbone_maps(images: int = 2, size: int = SIZE) -> list[Tensor]:
    channels = (64, 128, 256, 512)
    return [
        torch.randn(images, c, size // stride, size // stride)
        for c, stride in zip(channels, (4, 8, 16, 32), strict=True)
    ]


def data_samples(objects: Sequence[int], stuff: bool = True, seed: int = 0) -> list[DetDataSample]:
    """Images with so many things, as rectangles, over two kinds of stuff and some void."""
    random = np.random.RandomState(seed)
    return [_data_sample(number, stuff, random) for number in objects]


def _data_sample(things: int, stuff: bool, random: np.random.RandomState) -> DetDataSample:
    masks = np.zeros((things, SIZE, SIZE), dtype=np.uint8)
    for mask in masks:
        x, y = random.randint(0, SIZE - 8, 2)
        w, h = random.randint(4, SIZE // 2, 2)
        mask[y : y + h, x : x + w] = 1
    sample = DetDataSample(metainfo=dict(batch_input_shape=(SIZE, SIZE), img_shape=(SIZE, SIZE)))
    labels = torch.from_numpy(random.randint(0, THINGS, things))
    sample.gt_instances = InstanceData(labels=labels, masks=BitmapMasks(masks, SIZE, SIZE))
    if stuff:
        semantic = torch.full((1, SIZE, SIZE), 255)
        semantic[:, : SIZE // 2] = THINGS
        semantic[:, SIZE // 2 :, : SIZE // 3] = THINGS + 2
        semantic[:, :4] = 1  # a thing's class is no stuff
        sample.gt_sem_seg = PixelData(sem_seg=semantic)
    return sample


def same_points_for_all() -> Callable[..., Tensor]:
    """Return a substitute for ``torch.rand``: as many points as wanted, the same in every row."""
    known: dict[int, Tensor] = {}

    def rand(*shape: int, device: torch.device | None = None) -> Tensor:
        rows, points, _ = shape[0] if len(shape) == 1 else shape
        if points not in known:
            generator = torch.Generator().manual_seed(points)
            known[points] = torch.empty(points, 2).uniform_(generator=generator)
        return known[points].expand(rows, -1, -1).clone()

    return rand
