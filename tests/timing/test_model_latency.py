"""Seconds of a prediction, by part of the model, on a clock that only the model moves."""

import pytest
import torch
from mmdet.models.dense_heads import Mask2FormerHead
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmproscale.errors import InputError
from mmproscale.timing.measurement import Stopwatch
from mmproscale.timing.model_latency import random_inputs, timed_prediction


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Slow(nn.Module):
    """A step that takes so long."""

    def __init__(self, clock, seconds):
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def forward(self, x):
        assert not torch.is_grad_enabled()
        self.clock.now += self.seconds
        return x


class StockHead(Mask2FormerHead):
    def __init__(self, clock):
        nn.Module.__init__(self)
        self.pixel_decoder, self.decoder = Slow(clock, 4), Slow(clock, 8)

    def predict(self, feats, samples):
        return self.decoder(self.pixel_decoder(feats))


class Detector(nn.Module):
    def __init__(self, clock, mask_head):
        super().__init__()
        self.backbone, self.neck, self.after = Slow(clock, 1), Slow(clock, 2), Slow(clock, 16)
        if mask_head:
            self.panoptic_head = StockHead(clock)

    def extract_feat(self, inputs):
        return self.neck(self.backbone(inputs))

    def predict(self, inputs, samples):
        feats = self.extract_feat(inputs)
        if hasattr(self, "panoptic_head"):
            feats = self.panoptic_head.predict(feats, samples)
        return self.after(feats)


@pytest.mark.parametrize(
    ("mask_head", "expected"),
    [
        (
            True,
            {
                "backbone": 3,
                "pixel decoder": 4,
                "query decoder, masks": 8,
                "results": 16,
                "whole": 31,
            },
        ),
        (False, {"backbone": 3, "head": 16, "whole": 19}),
    ],
)
def test_each_second_is_in_its_part(mask_head, expected):
    clock = Clock()
    model, watch = Detector(clock, mask_head), Stopwatch(clock=clock)
    timed_prediction(model, torch.zeros(1), [], watch)
    assert watch.seconds == expected
    assert "extract_feat" not in vars(model)  # nothing is left of the stopwatch


def test_a_model_that_predicts_otherwise_is_named():
    with pytest.raises(InputError, match="a Linear has no extract_feat"):
        timed_prediction(nn.Linear(1, 1), torch.zeros(1), [], Stopwatch())


@pytest.mark.parametrize(("divisor", "padded"), [(1, (50, 70)), (32, (64, 96))])
def test_inputs_are_what_the_preprocessor_makes_of_random_images(divisor, padded):
    init_default_scope("mmdet")
    model = nn.Module()
    model.data_preprocessor = MODELS.build(
        dict(type="DetDataPreprocessor", mean=[128.0] * 3, std=[64.0] * 3, pad_size_divisor=divisor)
    )
    inputs, samples = random_inputs(model, (50, 70), batch=2)
    assert inputs.shape == (2, 3, *padded) and len(samples) == 2
    assert inputs[..., :50, :70].std() == pytest.approx(256 / 12**0.5 / 64, rel=0.05)
    assert not inputs[..., 50:, :].any() and not inputs[..., 70:].any()
    for sample in samples:
        assert sample.img_shape == sample.ori_shape == (50, 70)
        assert sample.batch_input_shape == sample.pad_shape == padded
        assert sample.scale_factor == (1.0, 1.0)
    again, _ = random_inputs(model, (50, 70), batch=2)
    assert torch.equal(again, inputs)
