"""Segmentor with mmseg's arguments, whose test batches may have images of several sizes."""

import torch
from mmengine.registry import MODELS, init_default_scope
from mmseg.models.segmentors import EncoderDecoder as MMSegEncoderDecoder
from mmseg.models.segmentors import encoder_decoder

from mmproscale.utils.config import load_config


def test_images_of_two_sizes_are_no_fault_and_give_no_warning(configs, monkeypatch):
    """mmseg warns where the original sizes of a batch differ."""
    init_default_scope("mmseg")
    model = MODELS.build(load_config(configs / "m2f_r18_camvid-semantic.py").model).eval()
    metas = [dict(ori_shape=shape, img_shape=(64, 64)) for shape in ((64, 64), (90, 80))]
    for meta in metas:
        meta.update(pad_shape=(64, 64), padding_size=[0, 0, 0, 0], batch_input_shape=(64, 64))
    warned = []
    monkeypatch.setattr(encoder_decoder, "print_log", lambda text, *_, **__: warned.append(text))
    with torch.no_grad():
        scores = model.inference(torch.zeros(2, 3, 64, 64), metas)
        MMSegEncoderDecoder.inference(model, torch.zeros(2, 3, 64, 64), metas)
    assert warned == ["Image shapes are different in the batch."], "by mmseg's own method only"
    assert scores.shape == (2, 11, 64, 64) and torch.allclose(scores[0], scores[1])
