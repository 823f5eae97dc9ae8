"""Each kind of source is recognised by its keys, and by no other's."""

import pytest
import torch
from helpers.hub_models import our_model
from helpers.idea_weights import detr, dino
from helpers.published_weights import golden, golden_weights, released_model
from mmdet.models.backbones import ResNet

from mmproscale.checkpoints.foreign.sources import SOURCES, recognise

SWIN = "layers.0.blocks.0.attn.qkv.weight"
HUB = "model.pixel_level_module.decoder.input_projections.0.0.weight"
ONEFORMER = "model.transformer_module.decoder.class_embed.bias"


def empty(*keys):
    return {key: torch.zeros(1) for key in keys}


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        ("huggingface-mask2former", empty(HUB)),
        ("huggingface-mask2former", empty(HUB.removeprefix("model."))),
        ("huggingface-oneformer", empty(HUB, ONEFORMER)),
        ("huggingface-oneformer", empty(HUB, "model.task_encoder.x")),
        ("moby", empty(f"encoder.{SWIN}", f"encoder_k.{SWIN}")),
        ("swin", empty(SWIN)),
        ("dino-self-supervised", empty("backbone.layer1.0.conv1.weight", "head.mlp.0.weight")),
        ("torchvision", ResNet(depth=18).state_dict()),
        ("mmdet", empty("panoptic_head.x")),
        ("mmdet", empty("decode_head.x")),
        ("mmdet", empty("bbox_head.x")),
        (None, empty("encoder.layer.0.attention.self.query.weight")),
        (None, {}),
    ],
)
def test_by_a_few_keys(kind, weights):
    assert recognise(weights) == kind


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("mmdet", lambda: our_model().state_dict()),
        ("detr", detr),
        ("idea-dino", dino),
        ("lite-detr", lambda: dino((5,))),
    ],
)
def test_by_whole_models(kind, make):
    assert recognise(make()) == kind


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("detectron2-mask2former", "mask2former_r50"),
        ("detectron2-proscale", "proscale_r50"),
        ("detectron2-eco", "eco_swint"),
    ],
)
def test_by_released_models(shared, kind, name):
    weights = released_model(shared, name, "r50")
    assert recognise(weights) == kind
    # The first release has the pixel decoder directly under the head.
    old = {key.replace("sem_seg_head.pixel_decoder.", "sem_seg_head."): None for key in weights}
    assert recognise(old) == kind
    assert {SOURCES[kind].their_key(key) for key in old} == set(weights)


def test_pem(shared):
    assert recognise(golden_weights(golden(shared, "pem_official"))) == "detectron2-pem"


def test_titles_are_different():
    assert len({source.title for source in SOURCES.values()}) == len(SOURCES)
