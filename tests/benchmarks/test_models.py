"""Compared models are the same network: mmdet's own, and ours with its weights."""

import pytest
import torch
from common.models import build, model_config, stock_twin
from mmdet.models.dense_heads import Mask2FormerHead
from mmdet.models.layers import MSDeformAttnPixelDecoder
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmproscale.errors import InputError
from mmproscale.timing.conditions import stock_attention


def head_weights(model):
    """Names and shapes of the head's weights; nothing is computed."""
    init_default_scope("mmdet")
    head = model.panoptic_head
    head.update(train_cfg=None, test_cfg=None)
    with torch.device("meta"):
        return {name: tuple(w.shape) for name, w in MODELS.build(head).state_dict().items()}


def test_the_twin_of_our_config_is_mmdets_own_model():
    name = "mmdet::mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco-panoptic.py"
    own = Config.fromstring(f"_base_ = '{name}'", ".py").model
    twin = stock_twin(model_config("m2f_swin-t_coco"))
    assert head_weights(twin) == head_weights(own)
    for key in ("embed_dims", "depths", "num_heads", "window_size", "mlp_ratio", "out_indices"):
        assert twin.backbone[key] == own.backbone[key]


@torch.no_grad()
def test_ours_with_the_twins_weights_predicts_what_the_twin_does():
    config = model_config("m2f_r18_shapes")
    stock = build(stock_twin(config)).eval()
    ours = build(config, stock.state_dict()).eval()
    assert type(stock.panoptic_head) is Mask2FormerHead
    assert type(stock.panoptic_head.pixel_decoder) is MSDeformAttnPixelDecoder
    assert type(ours.panoptic_head.pixel_decoder) is not MSDeformAttnPixelDecoder
    image = torch.randn(1, 3, 64, 96)
    samples = [DetDataSample(metainfo=dict(img_shape=(64, 96), batch_input_shape=(64, 96)))]
    with stock_attention():
        theirs = stock.panoptic_head.predict(stock.extract_feat(image), samples)
    mine = ours.panoptic_head.predict(ours.extract_feat(image), samples)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_each_query_has_points_of_its_own():
    attention = build(model_config("m2f_r18_shapes")).panoptic_head.pixel_decoder.encoder.layers[0]
    assert attention.self_attn.sampling_offsets.weight.std() > 0.05
    assert attention.self_attn.attention_weights.weight.std() > 0.05


def test_there_is_no_twin_of_another_schedule():
    with pytest.raises(InputError, match="no pixel decoder with schedule pro_scale"):
        stock_twin(model_config("proscale_m2f_swin-t_coco"))
