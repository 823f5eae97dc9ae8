"""mmseg's segmentor with test batches of several sizes: its results are mmseg's, image by image."""

import logging

import pytest
import torch
from helpers.mixed_batches import SLIDE, batch, build
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmseg.models import EncoderDecoder
from mmseg.structures import SegDataSample

from mmproscale.models.detectors.semantic_segmentor import SemanticSegmentor


@pytest.fixture(scope="module")
def model():
    return build("M2F semantic")


def test_its_type_builds_it_with_mmsegs_arguments(model):
    assert type(model) is SemanticSegmentor and isinstance(model, EncoderDecoder)
    assert callable(MODELS.get("mmproscale.SemanticSegmentor"))


@pytest.mark.parametrize("mode", ["whole", "slide"])
@torch.no_grad()
def test_an_image_has_mmsegs_result(model, mode, monkeypatch):
    for key, value in SLIDE.items():
        monkeypatch.setitem(model.test_cfg, key.removeprefix("test_cfg."), value)
    monkeypatch.setitem(model.test_cfg, "mode", mode)
    for image, found in enumerate(model.test_step(batch(range(4), SegDataSample))):
        data = model.data_preprocessor(batch([image], SegDataSample), False)
        (expected,) = EncoderDecoder.predict(model, **data)
        assert found.pred_sem_seg.shape == expected.pred_sem_seg.shape
        torch.testing.assert_close(found.seg_logits.data, expected.seg_logits.data)


def test_an_unknown_mode_is_refused_as_by_mmseg(model, monkeypatch):
    monkeypatch.setitem(model.test_cfg, "mode", "whale")
    with pytest.raises(AssertionError, match="test mode"):
        model.test_step(batch([0], SegDataSample))


@torch.no_grad()
def test_original_sizes_may_differ_without_a_warning(model, caplog):
    """Images 1 and 3 have one padded size."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    model.test_step(batch([1, 3], SegDataSample))
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    with pytest.raises(AssertionError, match="image size in a batch"):
        BaseModel.test_step(model, batch([1, 3], SegDataSample))
    logger.removeHandler(caplog.handler)


@torch.no_grad()
def test_a_single_class_is_the_label_of_every_pixel(model):
    """mmseg takes a single score for a foreground's logit and needs the head's threshold."""
    sample = SegDataSample(metainfo=dict(ori_shape=(4, 6)))
    (found,) = model.postprocess_result(torch.rand(1, 1, 4, 6), [sample])
    assert found.pred_sem_seg.data.shape == found.seg_logits.data.shape == (1, 4, 6)
    assert not found.pred_sem_seg.data.any() and found.seg_logits.data.max() > 0
