"""Configs for a source: those that fit, and what they must state."""

from pathlib import Path

import pytest
import torch
from helpers.hub_models import hub_model, our_config, our_model
from helpers.idea_weights import detr, dino
from helpers.published_weights import released_model

from mmproscale.checkpoints.foreign.for_config import (
    apply_settings,
    convert_for_config,
    fitting_config,
    fitting_configs,
)
from mmproscale.checkpoints.foreign.reading import ForeignFile
from mmproscale.checkpoints.foreign.sources import SOURCES, recognise
from mmproscale.cost.random_model import build_model, model_without_weights
from mmproscale.errors import InputError
from mmproscale.utils.config import load_config


def file_of(weights, **more) -> ForeignFile:
    return ForeignFile(Path("model.pkl"), weights, recognise(weights), **more)


@pytest.mark.parametrize(
    ("pixel_decoder", "backbone", "name"),
    [
        ("mask2former_r50", "r50", "m2f_r50_coco"),
        ("mask2former_r50", "swin-t", "m2f_swin-t_coco"),
        ("proscale_swint", "swin-t", "proscale_m2f_swin-t_coco"),
        ("eco_swint", "swin-t", "eco_m2f_swin-t_coco"),
    ],
)
def test_the_only_config_that_fits(shared, pixel_decoder, backbone, name):
    assert fitting_config(file_of(released_model(shared, pixel_decoder, backbone))) == name


@pytest.mark.parametrize(
    ("weights", "name"),
    [
        (detr, "detr_r50_coco"),
        (dino, "dino_r50_coco"),
        (lambda: dino((5,)), "lite_dino_r50_coco"),
        (lambda: dino((1, 3, 5)), "lite-x3_dino_r50_coco"),
    ],
)
def test_detectors(weights, name):
    assert fitting_config(file_of(weights())) == name


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (80, ("m2f_r50_coco-instance",)),
        (150, ("m2f_r50_ade20k", "m2f_r50_ade20k-semantic")),
        (19, ("m2f_r50_cityscapes", "m2f_r50_cityscapes-semantic")),
        (6, ()),
    ],
)
def test_several_or_none(shared, classes, names):
    weights = released_model(shared, "mask2former_r50", "r50")
    for parameter, shape in (("weight", (classes + 1, 256)), ("bias", (classes + 1,))):
        weights[f"sem_seg_head.predictor.class_embed.{parameter}"] = torch.empty(shape)
    assert fitting_configs(file_of(weights)) == names
    if len(names) != 1:
        with pytest.raises(InputError) as caught:
            fitting_config(file_of(weights))
        told = f"{', '.join(names)} fit" if names else "none of the shipped ones has its dimensions"
        assert str(caught.value).endswith(f"add --config NAME: {told}")


@pytest.mark.parametrize(
    "name", ["m2f_swin-t_coco", "proscale_m2f_r50_coco", "pem_m2f_r50_cityscapes", "dino_r50_coco"]
)
@pytest.mark.slow
def test_our_own_models_know_their_configs(name):
    config = load_config(name)
    model = build_model(model_without_weights(config), config.default_scope)
    assert name in fitting_configs(file_of(model.state_dict()))


def test_an_unknown_kind():
    with pytest.raises(InputError, match=r"model\.pkl is of an unknown kind \(1 keys: x, \.\.\.\)"):
        fitting_config(file_of({"x": torch.zeros(1)}))


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("detectron2-proscale", "proscale_m2f_r50_coco"),
        ("detectron2-proscale", "proscale_m2f_r50_cityscapes-semantic"),
        ("detectron2-pem", "pem_m2f_r50_cityscapes"),
        ("idea-dino", "dino_r50_coco"),
        ("lite-detr", "lite_dino_r50_coco"),
    ],
)
@pytest.mark.slow
def test_settings_are_those_of_the_model(kind, config):
    config = load_config(config)
    options = apply_settings(config, kind)
    assert len(options) == len(SOURCES[kind].settings) > 0
    model = build_model(model_without_weights(config), config.default_scope)
    head = getattr(model, "panoptic_head", None) or getattr(model, "decode_head", None)
    if kind == "detectron2-proscale":
        assert head.pixel_decoder.recalibration.token_layout == "release"
    elif kind == "detectron2-pem":
        attention = head.transformer_decoder.layers[0].cross_attn
        assert attention.normalised_over == "queries" and attention.empty_masks == "image"
        assert head.pixel_decoder.modulations[0].gate == "double_sigmoid"
    else:
        assert model.neck.convs[0].conv.bias is not None


class TestConfigJson:
    """Facts that weights do not show are compared, too."""

    @pytest.fixture(scope="class")
    @classmethod
    def weights(cls):
        pytest.importorskip("transformers", reason="transformers is not installed")
        return hub_model().state_dict()

    @pytest.mark.parametrize(
        ("stated", "said"),
        [
            ({"num_attention_heads": 4}, "attention heads: 4 in the file, 8 in the config"),
            ({"pre_norm": True}, "pre_norm: true in config.json"),
        ],
    )
    def test_differences(self, weights, stated, said):
        target, config = our_model().state_dict(), our_config()
        with pytest.raises(InputError) as caught:
            convert_for_config(file_of(weights, config=stated), config, target)
        assert said in str(caught.value) and "\n" not in str(caught.value)
        partial = convert_for_config(file_of(weights, config=stated), config, target, partial=True)
        assert said in partial.differences[0]

    def test_agreement(self, weights):
        stated = {"num_attention_heads": 8, "pre_norm": False}
        target = our_model().state_dict()
        conversion = convert_for_config(file_of(weights, config=stated), our_config(), target)
        assert set(conversion.weights) == set(target)
