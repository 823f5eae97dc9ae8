"""Starting weights: those that can be had, a backbone that is kept, checkpoints that fit."""

import re
from dataclasses import replace

import pytest
import torch
from helpers.own_data import checked_data

from mmproscale.errors import InputError
from mmproscale.own_data import starting_weights
from mmproscale.own_data.base_configs import find_base
from mmproscale.own_data.starting_weights import check_starting_weights, choose_start, freeze


@pytest.fixture
def reachable(monkeypatch):
    """Function that sets the ends of addresses that can be had."""

    def set_to(*ends: str) -> None:
        monkeypatch.setattr(
            starting_weights,
            "why_unavailable",
            lambda source: "" if source.endswith(ends) else "no network",
        )

    return set_to


def facts_of(kind: str, root, images: int = 12):
    return replace(checked_data(kind, root).facts, train_images=images)


@pytest.mark.parametrize(
    ("kind", "published"),
    [
        ("panoptic", "mmdetection/v3.0/.*/mask2former_r50_8xb2-lsj-50e_coco-panoptic_2"),
        ("instance", "mmdetection/v3.0/.*/mask2former_r50_8xb2-lsj-50e_coco_2"),
        ("semantic", "mmsegmentation/.*/mask2former_r50_8xb2-160k_ade20k-512x512_2"),
    ],
)
def test_few_images_start_from_a_published_model(reachable, tmp_path, kind, published):
    reachable(".pth", "resnet50")
    base = find_base("proscale_m2f_r50", kind)
    start = choose_start(base, facts_of(kind, tmp_path))
    assert re.search(published, start.source) and start.whole
    assert start.backbone == dict(init_cfg=None)
    for images, backbone_only in ((12, True), (2001, False)):
        facts = facts_of(kind, tmp_path, images)
        start = choose_start(base, facts, backbone_only=backbone_only)
        assert (start.source, start.whole) == ("torchvision://resnet50", False)


def test_without_the_weights_the_training_is_from_scratch_and_says_so(reachable, tmp_path):
    reachable("nothing")
    start = choose_start(find_base("m2f_r50", "panoptic"), facts_of("panoptic", tmp_path))
    assert start.from_scratch and start.backbone["norm_cfg"]["requires_grad"]
    assert start.why == "torchvision://resnet50 can't be had here (no network)"


def test_the_small_backbone_has_weights_where_they_can_be_had(reachable, tmp_path):
    base, facts = find_base("proscale_m2f_r18", "panoptic"), facts_of("panoptic", tmp_path)
    reachable("resnet18")
    start = choose_start(base, facts)
    assert start.source == start.backbone["init_cfg"]["checkpoint"] == "torchvision://resnet18"
    assert start.backbone["norm_eval"] and not start.backbone["norm_cfg"]["requires_grad"]
    reachable("nothing")
    assert choose_start(base, facts).from_scratch and choose_start(base, facts).backbone == {}


@pytest.mark.parametrize("name", ["m2f_r18", "m2f_r50", "m2f_swin-t"])
def test_a_frozen_backbone_has_nothing_to_learn(reachable, tmp_path, name):
    reachable("resnet18", "resnet50", ".pth")
    base, facts = find_base(name, "panoptic"), facts_of("panoptic", tmp_path)
    network = base.network(facts, freeze(base, choose_start(base, facts)))
    network.train()
    learning = {n for n, p in network.model.backbone.named_parameters() if p.requires_grad}
    assert all(name.startswith("norm") for name in learning)  # Swin's, of its outputs
    assert any(p.requires_grad for p in network.mask_head.parameters())


def test_what_cannot_be_frozen_is_refused(reachable, tmp_path):
    facts = facts_of("semantic", tmp_path)
    base = find_base("pem_m2f_stdc1", "semantic")
    with pytest.raises(InputError, match="--frozen-backbone: stdc_net has no frozen_stages"):
        freeze(base, choose_start(base, facts))
    base = find_base("m2f_r18", "semantic")
    with pytest.raises(InputError, match="this training starts without any"):
        freeze(base, choose_start(base, facts, from_scratch=True))


def test_the_network_has_the_datas_classes_and_can_start_from_scratch(tmp_path):
    base, facts = find_base("m2f_r50", "panoptic"), checked_data("panoptic", tmp_path).facts
    network = base.network(facts, choose_start(base, facts, from_scratch=True).backbone)
    assert network.mask_head.cls_embed.out_features == 3 + 1
    assert all(norm.weight.requires_grad for norm in batch_norms(network))
    assert not any(norm.weight.requires_grad for norm in batch_norms(base.network(facts)))


def test_stdc_starts_from_scratch(tmp_path):
    base, facts = find_base("pem_m2f_stdc1", "semantic"), checked_data("semantic", tmp_path).facts
    network = base.network(facts, choose_start(base, facts, from_scratch=True).backbone)
    assert all(norm.weight.requires_grad for norm in batch_norms(network))


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
