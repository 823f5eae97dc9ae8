"""Compilation: each part of a model that its stopwatch tells apart is compiled."""

from collections import Counter

import pytest
import torch

from mmproscale.cost.random_model import (
    load_any_config,
    model_without_weights,
    random_model,
)
from mmproscale.timing.compilation import compile_model
from mmproscale.timing.measurement import Stopwatch
from mmproscale.timing.model_latency import random_inputs, timed_prediction


@pytest.fixture
def compiled_calls(monkeypatch) -> Counter:
    """Number of calls of each compiled class; in fact nothing is compiled."""
    calls = Counter()

    def compile_(forward, dynamic):
        def compiled(*args, **kwargs):
            calls[type(forward.__self__).__name__] += 1
            return forward(*args, **kwargs)

        return compiled

    monkeypatch.setattr(torch, "compile", compile_)
    return calls


def predict(config) -> None:
    model = random_model(model_without_weights(load_any_config(str(config)))).eval()
    compile_model(model)
    timed_prediction(model, *random_inputs(model, (64, 64)), Stopwatch())


def test_of_a_mask_model(configs, compiled_calls):
    file = configs / "m2f_r18_shapes.py"
    predict(file)
    head = load_any_config(str(file)).model.panoptic_head
    assert compiled_calls["ResNet"] == compiled_calls["DeformablePixelDecoder"] == 1
    assert compiled_calls["MaskedAttentionLayer"] == head.transformer_decoder.num_layers


def test_of_a_detector(compiled_calls):
    predict("mmdet::detr/detr_r50_8xb2-150e_coco.py")
    assert compiled_calls["ResNet"] == compiled_calls["ChannelMapper"] == 1
    assert compiled_calls["DetrTransformerEncoderLayer"] == 6
    assert compiled_calls["DetrTransformerDecoderLayer"] == 6
    assert compiled_calls["DETRHead"] == 1
