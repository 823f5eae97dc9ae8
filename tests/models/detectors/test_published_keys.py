"""Tables of detectors convert the authors' models whole, and every rule is used."""

import pytest
import torch
from helpers.idea_weights import detr, dino

from mmproscale.checkpoints.foreign.class_lists import coco_by_id, config_classes
from mmproscale.checkpoints.foreign.conversion import convert_weights
from mmproscale.checkpoints.foreign.for_config import apply_settings
from mmproscale.checkpoints.foreign.sources import SOURCES, recognise
from mmproscale.cost.random_model import build_model, model_without_weights
from mmproscale.models.detectors.published_keys import DETR, DINO
from mmproscale.utils.config import load_config
from mmproscale.utils.key_rules import map_keys

MODELS = {
    "detr": (detr, "detr_r50_coco"),
    "idea-dino": (dino, "dino_r50_coco"),
    "lite-detr": (lambda: dino((1, 3, 5)), "lite-x3_dino_r50_coco"),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.slow
def test_a_whole_model(kind):
    make, name = MODELS[kind]
    weights, config = make(), load_config(name)
    assert recognise(weights) == kind
    apply_settings(config, kind)
    target = build_model(model_without_weights(config), "mmdet").state_dict()
    conversion = convert_weights(weights, kind, target, wanted_classes=config_classes(config))
    assert set(conversion.weights) == set(target) and not conversion.left_over
    assert {len(value) for key, value in conversion.weights.items() if "cls_branch" in key} <= {80}
    assert conversion.notes == ["classes: 80 rows of class layers in the order of our labels"]


def test_rows_of_classes_are_those_of_the_category_ids():
    ids = torch.arange(91.0)
    rows = [id_ for id_, name in enumerate(coco_by_id()) if name is not None]
    weights = {"class_embed.0.bias": ids, "transformer.enc_output.bias": torch.zeros(1)}
    weights |= {"label_enc.weight": torch.arange(92.0)[:, None]}
    target = {
        "bbox_head.cls_branches.0.bias": torch.zeros(80),
        "dn_query_generator.label_embedding.weight": torch.zeros(80, 1),
        "memory_trans_fc.bias": torch.zeros(1),
    }
    names = [name for name in coco_by_id() if name]
    converted = convert_weights(weights, "idea-dino", target, wanted_classes=names).weights
    for value in converted.values():
        if len(value) == 80:
            assert value.flatten().tolist() == rows
    assert (rows[0], rows[11], rows[79]) == (1, 13, 90)  # person, stop sign, toothbrush


@pytest.mark.parametrize(("rules", "make"), [(DETR, detr), (DINO, lambda: dino((1, 3, 5)))])
def test_every_rule_is_used(rules, make):
    weights = make()
    assert {rule for rule, _ in map_keys(weights, rules).origin.values()} == set(rules)


@pytest.mark.parametrize(
    ("rules", "theirs", "ours"),
    [
        # DINO's decoder attends to the image second, and numbers this norm first.
        (DINO, "norm1", "norms.1"),
        (DINO, "norm2", "norms.0"),
        (DETR, "norm1", "norms.0"),
        (DETR, "norm2", "norms.1"),
    ],
)
def test_norms_of_the_decoder(rules, theirs, ours):
    mapped = map_keys({f"transformer.decoder.layers.3.{theirs}.weight": torch.zeros(1)}, rules)
    assert list(mapped.weights) == [f"decoder.layers.3.{ours}.weight"]


def test_dino_needs_biases_of_its_projections():
    assert SOURCES["idea-dino"].settings == {"neck.bias": True}
