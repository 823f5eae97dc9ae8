"""The head hears its classes' names before the first step."""

from types import SimpleNamespace

import pytest
from helpers import heads, semantic
from torch import nn

from mmproscale.errors import InputError
from mmproscale.models.heads import PanopticHead
from mmproscale.registry import HOOKS

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")


def runner_with(model: nn.Module, metainfo: dict) -> SimpleNamespace:
    dataset = SimpleNamespace(metainfo=metainfo)
    return SimpleNamespace(model=model, train_dataloader=SimpleNamespace(dataset=dataset))


@pytest.mark.parametrize("place", ["panoptic_head", "decode_head"])
def test_weights_by_name_take_effect(place):
    model, weight = nn.Module(), dict(class_weight=dict(b=9.0))
    if place == "panoptic_head":
        head, names = PanopticHead(**heads.head_config(), **weight), NAMES
    else:
        head, names = semantic.build_ours(**weight), NAMES[: semantic.CLASSES]
    model.add_module(place, head)
    hook = HOOKS.build(dict(type="mmproscale.ClassNamesHook"))
    hook.before_train(runner_with(model, {"CLASSES": names}))
    assert head.criterion.class_weight[1] == head.loss_cls.class_weight[1] == 9.0
    assert head.criterion.class_weight[-1] == 0.1


def test_a_wrong_name_stops_training():
    model = nn.Module()
    model.decode_head = semantic.build_ours(class_weight=dict(zebra=9.0))
    hook = HOOKS.build(dict(type="mmproscale.ClassNamesHook"))
    with pytest.raises(InputError, match="'zebra' is not a class"):
        hook.before_train(runner_with(model, {"classes": NAMES[: semantic.CLASSES]}))


def test_models_and_datasets_that_say_nothing_pass():
    hook = HOOKS.build(dict(type="mmproscale.ClassNamesHook"))
    hook.before_train(runner_with(nn.Linear(1, 1), {"classes": NAMES}))
    model = nn.Module()
    model.decode_head = semantic.build_ours()
    hook.before_train(runner_with(model, {}))
