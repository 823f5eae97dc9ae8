"""Norms do not decay in a backbone with its own rate, and timm's models decay as timm's do."""

from importlib.util import find_spec

import pytest
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmproscale.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmproscale.training.norm_decay import NormDecayConstructor
from mmproscale.utils.config import load_config

NEEDS_TIMM = pytest.mark.skipif(
    find_spec("timm") is None or find_spec("torchvision") is None,
    reason="no timm or torchvision: make test-onedl has both",
)
TIMM = [
    *("convnext_atto", "convnextv2_atto", "swin_tiny_patch4_window7_224", "tf_efficientnet_lite0"),
    *("mobilenetv4_conv_small", "mobilenetv4_hybrid_medium", "repvit_m0_9", "fastvit_t8"),
    *("regnety_002", "resnet18"),
]
RATE, DECAY = 0.01, 0.5


class Model(nn.Module):
    """Backbone with each kind of norm, and a head."""

    def __init__(self):
        super().__init__()
        norms = [nn.BatchNorm2d(4), nn.InstanceNorm2d(4, affine=True), nn.GroupNorm(2, 4)]
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), *norms, nn.LayerNorm(4))
        self.head = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))


def settings(model, **paramwise):
    """Return parameter's name -> (rate, decay)."""
    wrapper = dict(
        constructor="mmproscale.NormDecayConstructor",
        optimizer=dict(type="AdamW", lr=RATE, weight_decay=DECAY),
        paramwise_cfg=paramwise,
    )
    return settings_of(model, wrapper)


def settings_of(model, wrapper):
    groups = build_optim_wrapper(model, wrapper).optimizer.param_groups
    of = {id(group["params"][0]): (group["lr"], group["weight_decay"]) for group in groups}
    return {name: of[id(parameter)] for name, parameter in model.named_parameters()}


def test_norms_of_a_part_with_its_own_rate_do_not_decay():
    found = settings(Model(), custom_keys={"backbone": dict(lr_mult=0.1)}, norm_decay_mult=0.0)
    for name, values in found.items():
        rate = 0.1 * RATE if name.startswith("backbone") else RATE
        is_norm = name.split(".")[:2] not in (["backbone", "0"], ["head", "0"])
        assert values == (rate, 0.0 if is_norm else DECAY), name


def test_a_decay_that_a_custom_key_states_counts():
    keys = {"backbone": dict(lr_mult=0.1), "backbone.1": dict(decay_mult=0.5)}
    found = settings(Model(), custom_keys=keys, norm_decay_mult=0.1)
    assert found["backbone.1.weight"] == (RATE, 0.5 * DECAY)
    assert found["backbone.2.weight"] == (0.1 * RATE, 0.1 * DECAY)


def test_without_a_factor_for_norms_all_is_as_in_mmengine():
    keys = {"backbone": dict(lr_mult=0.1)}
    found = settings(Model(), custom_keys=keys, bias_decay_mult=0.0)
    assert found["backbone.2.weight"] == (0.1 * RATE, DECAY)
    assert found["head.0.bias"] == (RATE, 0.0)


def test_a_module_can_name_parameters_that_do_not_decay():
    model = Model()
    model.backbone.no_weight_decay = lambda: {"0.bias"}
    found = settings(model, custom_keys={"backbone": dict(lr_mult=0.1)}, norm_decay_mult=0.0)
    assert found["backbone.0.bias"] == (0.1 * RATE, 0.0)
    assert found["backbone.0.weight"] == (0.1 * RATE, DECAY)


@pytest.mark.parametrize("name", ["m2f_swin-t_coco", "proscale_m2f_r18_shapes"])
def test_the_recipes_of_segmentors_use_it(name):
    constructor = load_config(name).optim_wrapper.constructor
    assert OPTIM_WRAPPER_CONSTRUCTORS.get(constructor) is NormDecayConstructor


@NEEDS_TIMM
@pytest.mark.parametrize("name", TIMM)
def test_timms_models_decay_as_in_timms_own_training(name):
    """The reference is timm's function; it lets FastViT's layer scales, (C, 1, 1), decay."""
    import timm
    import torch
    from timm.optim import param_groups_weight_decay

    from mmproscale.models.backbones.timm_backbone import TimmBackbone

    with torch.device("meta"):
        theirs, model = timm.create_model(name), nn.Module()
    model.backbone = TimmBackbone(name)
    listed = getattr(theirs, "no_weight_decay", set)()
    groups = param_groups_weight_decay(theirs, DECAY, no_weight_decay_list=listed)
    decaying = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    expected = {f"backbone.{key}": id(p) in decaying for key, p in theirs.named_parameters()}
    wrapper = load_config("m2f_swin-t_coco").optim_wrapper.to_dict()
    wrapper["optimizer"] |= dict(lr=RATE, weight_decay=DECAY)
    found = settings_of(model, wrapper)
    for key, values in found.items():
        decays = expected[key] and not key.endswith("layer_scale.gamma")
        assert values == (0.1 * RATE, DECAY if decays else 0.0), key
    assert {decay for _, decay in found.values()} == {0.0, DECAY}
