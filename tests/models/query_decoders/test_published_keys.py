"""Tables of query decoders: every rule is used, and no weight of ours is left without one."""

import pytest
import torch
from helpers.hub_models import our_model
from helpers.official_pem import released_head
from helpers.published_weights import PREDICTOR, key_list

from mmproscale.models.query_decoders.published_keys import DETECTRON2, HUGGING_FACE, PEM
from mmproscale.utils.key_rules import map_back, map_keys


def below_head(head):
    return {k: v for k, v in head.state_dict().items() if not k.startswith("pixel_decoder.")}


@pytest.mark.parametrize("rules", [DETECTRON2, HUGGING_FACE], ids=["detectron2", "hugging face"])
def test_every_weight_has_a_rule_and_every_rule_a_weight(rules):
    weights = below_head(our_model().panoptic_head)
    mapped = map_back(weights, rules)
    # In transformers the class layer stands above its model.
    assert all(key.startswith("cls_embed.") for key in mapped.unknown)
    assert bool(mapped.unknown) == (rules is HUGGING_FACE)
    unused = {rule for rule in rules} - {rule for rule, _ in mapped.origin.values()}
    others = ("input_proj", "static_query")
    assert all(any(name in rule.theirs for name in others) for rule in unused)
    again = map_keys(mapped.weights, rules).weights
    assert all(torch.equal(again[key], weights[key]) for key in again)


def test_every_released_key_is_known(shared):
    keys = key_list(shared, "mask2former_predictor")
    weights = {key.removeprefix(PREDICTOR): value for key, value in keys.items()}
    assert not map_keys(weights, DETECTRON2).unknown


def test_the_queries_of_the_first_release():
    assert list(map_keys({"static_query.weight": torch.zeros(1)}, DETECTRON2).weights) == [
        "query_feat.weight"
    ]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("transformer_cross_attention_layers.4.norm.bias", "norms.0.bias"),
        ("transformer_self_attention_layers.4.norm.bias", "norms.1.bias"),
        ("transformer_ffn_layers.4.norm.bias", "norms.2.bias"),
    ],
)
def test_the_cross_attention_comes_first(theirs, ours):
    mapped = map_keys({theirs: torch.zeros(1)}, DETECTRON2).weights
    assert list(mapped) == [f"transformer_decoder.layers.4.{ours}"]


def test_pem_has_every_weight_of_ours():
    weights = below_head(released_head())
    mapped = map_back(weights, PEM)
    assert not mapped.unknown
    assert mapped.weights["transformer_cross_attention_layers.0.alpha"].shape == (1, 1, 64)
