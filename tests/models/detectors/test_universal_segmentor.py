"""All three kinds of results from one forward pass, equal to mmdet's where mmdet has them."""

import copy

import pytest
import torch
from helpers.random_universal import build_random, random_model_config
from mmdet.structures import DetDataSample

from mmproscale.models.fusion.image_frame import ImageFrame

SIZE = (70, 90)


@pytest.fixture
def model_config(configs):
    return random_model_config(configs)


def build(config, like=None):
    model = build_random(config)
    if like is not None:
        model.load_state_dict(like.state_dict())
    return model


def batch(images=2):
    samples = [
        DetDataSample(metainfo=dict(img_shape=SIZE, ori_shape=(35, 44 + i), img_path=f"{i}.jpg"))
        for i in range(images)
    ]
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randint(255, (3, *SIZE), generator=generator).byte() for _ in range(images)]
    return dict(inputs=inputs, data_samples=samples)


def stock(config):
    """mmdet's detector and fusion head around our mask head."""
    config = copy.deepcopy(config)
    config.type, config.panoptic_fusion_head.type = "Mask2Former", "MaskFormerFusionHead"
    config.test_cfg.pop("semantic_on", None)
    return config


def test_panoptic_and_instance_results_are_those_of_mmdets_detector(model_config):
    ours = build(model_config)
    theirs = build(stock(model_config), like=ours)
    for one, other in zip(ours.test_step(batch()), theirs.test_step(batch()), strict=True):
        found, expected = one.pred_panoptic_seg.sem_seg, other.pred_panoptic_seg.sem_seg
        assert found.shape == expected.shape
        assert (found == expected).float().mean() > 0.999  # rounding decides a pixel or two
        assert len(found.unique()) >= 3  # void and two segments
        assert torch.equal(one.pred_instances.labels, other.pred_instances.labels)
        torch.testing.assert_close(
            one.pred_instances.scores, other.pred_instances.scores, atol=1e-4, rtol=0
        )


def test_data_samples_say_where_images_left_the_encoder(model_config):
    decoder = model_config.panoptic_head.pixel_decoder
    samples = build(model_config).test_step(batch())
    assert [sample.encoder_exit for sample in samples] == [3, 3]
    decoder.update(encoder=dict(schedule=dict(layers=4)), exit_gate=dict(type="ExitGate"))
    model = build(model_config)
    model.panoptic_head.pixel_decoder.image_exits = lambda images, features: (3, 2)
    together = model.test_step(batch())
    assert [sample.encoder_exit for sample in together] == [3, 2]
    assert together[0].to_dict()["encoder_exit"] == 3
    for image, exit_ in enumerate((3, 2)):
        model.panoptic_head.pixel_decoder.image_exits = lambda images, features, e=exit_: (e, e)
        single = model.test_step(batch())[image].pred_panoptic_seg.sem_seg
        same = (single == together[image].pred_panoptic_seg.sem_seg).float().mean()
        assert same > 0.999  # rounding decides a pixel or two


def test_all_three_kinds_in_one_pass(model_config, monkeypatch):
    model_config.test_cfg.semantic_on = True
    model = build(model_config)
    calls = []
    extract = model.extract_feat
    monkeypatch.setattr(model, "extract_feat", lambda x: calls.append(1) or extract(x))
    for index, sample in enumerate(model.test_step(batch())):
        size = (35, 44 + index)
        assert sample.pred_panoptic_seg.sem_seg.shape == (1, *size)
        assert sample.pred_sem_seg.sem_seg.shape == (1, *size)
        assert sample.pred_instances.masks.shape[1:] == size
        assert sample.pred_sem_seg.sem_seg.max() < 8
    assert calls == [1]


def test_no_mask_grows_that_no_result_needs(model_config, monkeypatch):
    model_config.test_cfg.update(object_mask_thr=1.0, instance_on=False)
    grown = []
    monkeypatch.setattr(ImageFrame, "resize", lambda self, masks: grown.append(masks))
    (sample,) = build(model_config).test_step(batch(1))
    assert not grown and sample.pred_panoptic_seg.sem_seg.unique().tolist() == [8]


def test_diverged_weights_are_said(model_config):
    model = build(model_config)
    model.panoptic_head.mask_embed[0].weight.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"logits of 0\.jpg are not finite numbers"):
        model.test_step(batch(1))
