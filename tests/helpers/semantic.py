"""Small segmentors of mmseg's around our decode head and around mmseg's own, and maps for them."""

from collections.abc import Sequence

import numpy as np
import torch
from helpers.heads import SIZE, head_config
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.models import EncoderDecoder
from mmseg.models.decode_heads import Mask2FormerHead
from mmseg.structures import SegDataSample

from mmproscale.models.heads import MaskDecodeHead

CLASSES = 6
IGNORED = 255


def decode_head_config() -> ConfigDict:
    """Arguments of a decode head with three decoder layers."""
    config = head_config()
    del config.num_things_classes, config.num_stuff_classes
    config.num_classes = CLASSES
    config.loss_cls.class_weight = [1.0, 2.0, 1.0, 0.5, 1.0, 1.0, 0.1]
    return config


def build_ours(**more) -> MaskDecodeHead:
    with DefaultScope.overwrite_default_scope("mmseg"):
        head = MaskDecodeHead(**decode_head_config(), **more)
    head.init_weights()
    return head


def build_stock(like: MaskDecodeHead) -> Mask2FormerHead:
    """mmseg's head around mmdet's pixel decoder, with the weights of ours."""
    config = decode_head_config()
    encoder = config.pixel_decoder.encoder
    encoder.num_layers = encoder.pop("schedule")["layers"]
    config.pixel_decoder.type = "mmdet.MSDeformAttnPixelDecoder"
    with DefaultScope.overwrite_default_scope("mmseg"):
        head = Mask2FormerHead(**config)
    head.load_state_dict(like.state_dict())
    return head


def segmentor(head: torch.nn.Module, mode: str = "whole", **test_cfg) -> EncoderDecoder:
    """mmseg's own, on ResNet-18, with a head that is already built."""
    head_of_config = dict(
        type="FCNHead", in_channels=512, channels=8, num_classes=CLASSES, norm_cfg=None
    )
    backbone = dict(type="mmdet.ResNet", depth=18, norm_eval=True)
    with DefaultScope.overwrite_default_scope("mmseg"):
        model = EncoderDecoder(
            backbone,
            head_of_config,
            test_cfg=ConfigDict(mode=mode, **test_cfg),
            data_preprocessor=dict(type="SegDataPreProcessor"),
        )
    model.decode_head, model.out_channels = head, head.out_channels
    return model.eval()


def semantic_samples(classes: Sequence[Sequence[int]], size: int = SIZE) -> list[SegDataSample]:
    """Images with these classes in stripes, and with some void."""
    return [semantic_sample(list(own), size) for own in classes]


def semantic_sample(classes: list[int], size: int = SIZE) -> SegDataSample:
    stripes = np.repeat(np.array([*classes, IGNORED]), size)[:: len(classes) + 1][:size]
    labels = torch.from_numpy(np.broadcast_to(stripes, (1, size, size)).copy())
    meta = dict(img_shape=(size, size), pad_shape=(size, size), ori_shape=(size, size))
    sample = SegDataSample(metainfo=meta | dict(img_path="a.jpg", seg_map_path="maps/a.png"))
    sample.gt_sem_seg = PixelData(data=labels)
    return sample
