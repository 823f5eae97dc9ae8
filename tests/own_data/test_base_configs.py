"""Base configs by name and kind, their networks, and checkpoints that fit them."""

import pytest
import torch
from helpers.own_data import checked_data

from mmproscale.errors import InputError
from mmproscale.own_data.base_configs import (
    Recipe,
    base_names,
    check_starting_weights,
    find_base,
)
from mmproscale.own_data.layouts import KINDS


@pytest.mark.parametrize(
    ("kind", "stem", "recipe"),
    [
        ("panoptic", "proscale_m2f_r50_coco", Recipe(16, 1e-4, 368750, 118287)),
        ("instance", "proscale_m2f_r50_coco-instance", Recipe(16, 1e-4, 368750, 118287)),
        ("semantic", "proscale_m2f_r50_ade20k-semantic", Recipe(16, 1e-4, 160000, 20210)),
        ("boxes", "proscale_dino_r50_coco", Recipe(16, 1e-4, 88716, 118287)),
        ("boxes", "proscale_dino_r18_camvid", Recipe(2, 2e-4, 3000, 367)),
    ],
)
def test_each_kind_has_its_config_and_recipe(kind, stem, recipe):
    base = find_base(stem.rpartition("_")[0], kind)
    assert (base.path.stem, base.recipe) == (stem, recipe)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("vgg", "--base vgg has no config for semantic data; there are .*proscale_m2f_r50"),
        (
            "dino_r50",
            "--base dino_r50 is a detector's, which learns boxes and no semantic.*proscale_m2f_r50",
        ),
    ],
)
def test_unknown_bases_list_the_known_ones(name, fault):
    with pytest.raises(InputError, match=fault):
        find_base(name, "semantic")


def test_every_kind_has_small_and_large_bases():
    for kind in KINDS:
        names = base_names(kind)
        family = "dino" if kind == "boxes" else "m2f"
        for method in ("", "lite_", "proscale_"):
            assert {f"{method}{family}_{size}" for size in ("r18", "r50", "swin-t")} <= {*names}
        assert all(family in name.split("_") for name in names)


def test_a_detector_has_the_datas_classes_and_its_models_queries(tmp_path):
    base = find_base("dino_r18", "boxes")
    network = base.network(checked_data("boxes", tmp_path).facts)
    assert network.mask_head is None and network.model.bbox_head.num_classes == 2
    assert network.model.num_queries == 40  # CamVid's config has 60
    with pytest.raises(InputError, match=r"m2f_r50 has no config for boxes data; there are dino_r"):
        find_base("m2f_r50", "boxes")


def test_the_network_has_the_datas_classes_and_can_start_from_scratch(tmp_path):
    base, facts = find_base("m2f_r50", "panoptic"), checked_data("panoptic", tmp_path).facts
    assert not base.from_scratch
    network = base.network(facts, from_scratch=True)
    assert network.mask_head.cls_embed.out_features == 3 + 1
    assert all(norm.weight.requires_grad for norm in batch_norms(network))
    assert not any(norm.weight.requires_grad for norm in batch_norms(base.network(facts)))


def test_a_base_of_shapes_has_the_model_of_its_name():
    base = find_base("lite_m2f_r18", "panoptic")
    assert (base.path.stem, base.config.model.panoptic_head.num_queries) == (
        "lite_m2f_r18_shapes",
        50,
    )


def test_stdc_starts_from_scratch(tmp_path):
    base, facts = find_base("pem_m2f_stdc1", "semantic"), checked_data("semantic", tmp_path).facts
    assert all(norm.weight.requires_grad for norm in batch_norms(base.network(facts, True)))


@pytest.mark.parametrize("kind", ["panoptic", "instance", "semantic"])
def test_a_backbone_of_timm_is_named_after_the_base(kind):
    base = find_base("proscale_m2f_timm/repvit_m0_9", kind)
    assert (base.name, base.timm_model) == ("proscale_m2f_timm", "repvit_m0_9")
    assert base.config.model.backbone.model == "repvit_m0_9" and not base.from_scratch
    with pytest.raises(InputError, match="proscale_m2f_r50/repvit_m0_9 has no config"):
        find_base("proscale_m2f_r50/repvit_m0_9", kind)


def batch_norms(network):
    modules = network.model.backbone.modules()
    return [module for module in modules if isinstance(module, torch.nn.BatchNorm2d)]


def test_a_checkpoint_needs_the_backbone(tmp_path):
    base, facts = find_base("m2f_r18", "panoptic"), checked_data("panoptic", tmp_path).facts
    weights = base.network(facts).model.state_dict()
    whole, head = str(tmp_path / "whole.pth"), str(tmp_path / "head.pth")
    torch.save(dict(state_dict=weights), whole)
    check_starting_weights(base, whole, facts)
    rest = {key: value for key, value in weights.items() if not key.startswith("backbone.")}
    torch.save(dict(state_dict=rest), head)
    with pytest.raises(InputError, match="lacks the backbone of this --base"):
        check_starting_weights(base, head, facts)
    with pytest.raises(InputError, match="is not a file"):
        check_starting_weights(base, str(tmp_path / "none.pth"), facts)
    check_starting_weights(base, "https://example.org/none.pth", facts)
