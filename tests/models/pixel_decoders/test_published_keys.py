"""Tables of pixel decoders: every rule is used, and no weight of ours is left without one."""

import pytest
import torch
from helpers.official_pem import PIXEL_DECODER, released_head
from helpers.pixel_decoders import deformable_decoder
from helpers.published_weights import PIXELS, key_list

from mmproscale.models.pixel_decoders.published_keys import DETECTRON2, HUGGING_FACE, PEM
from mmproscale.utils.key_rules import map_back, map_keys


@pytest.fixture(scope="module")
def decoder():
    return deformable_decoder(
        dict(type="pro_scale", repeats=(1, 1, 2)),
        recalibration=dict(type="TRC"),
        exit_gate=dict(type="ExitGate"),
        pixel_embedding=dict(type="LPE"),
    )


@pytest.mark.parametrize("rules", [DETECTRON2, HUGGING_FACE], ids=["detectron2", "hugging face"])
def test_every_rule_is_used_on_the_way_back(decoder, rules):
    weights = decoder.state_dict()
    mapped = map_back(weights, rules)
    left = [key for key in mapped.unknown if not key.startswith(("recalibration", "exit_gate"))]
    assert not left
    used = {rule.theirs for rule, _ in mapped.origin.values()}
    convolution = {"layer_1.weight", "layer_1.0.{p}"}  # PRO-SCALE's light embedding has none
    assert {rule.theirs for rule in rules} - used <= convolution
    again = map_keys(mapped.weights, rules)
    assert all(torch.equal(again.weights[key], weights[key]) for key in again.weights)


@pytest.mark.parametrize("name", ["mask2former_r50", "proscale_r50", "proscale_swint", "eco_swint"])
def test_every_released_key_is_known(shared, name):
    keys = key_list(shared, f"{name}_pixel_decoder")
    weights = {key.removeprefix(PIXELS): value for key, value in keys.items()}
    assert not map_keys(weights, DETECTRON2).unknown


def test_pem_has_every_weight_of_ours():
    weights = released_head().pixel_decoder.state_dict()
    mapped = map_back(weights, PEM)
    assert not mapped.unknown
    assert {rule for rule, _ in mapped.origin.values()} == set(PEM)
    assert len(PEM) > len(PIXEL_DECODER)
    assert "in_projections.0.conv.weight" in mapped.weights  # high resolution first
    assert mapped.origin["in_projections.0.conv.weight"][1] == ("input_convs.3.conv.weight",)
