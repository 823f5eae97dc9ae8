"""Class counts of the model and of the dataset are compared before a step is taken."""

from types import SimpleNamespace

import pytest
from torch import nn

from mmproscale.engine import ClassCountHook
from mmproscale.engine.class_count_hook import check_class_counts
from mmproscale.errors import InputError
from mmproscale.registry import HOOKS


def model_for(things: int, stuff: int) -> nn.Module:
    model = nn.Module()
    model.panoptic_head = nn.Module()
    model.panoptic_head.num_things_classes = things
    model.panoptic_head.num_stuff_classes = stuff
    return model


def dataset_with(things: int, stuff: int, upper: bool = False) -> SimpleNamespace:
    metainfo = {"thing_classes": ("t",) * things, "stuff_classes": ("s",) * stuff}
    if upper:
        metainfo = {key.upper(): value for key, value in metainfo.items()}
    return SimpleNamespace(metainfo=metainfo, ann_file="data/train.json")


def test_equal_counts_pass():
    check_class_counts(model_for(4, 3), dataset_with(4, 3))
    check_class_counts(model_for(4, 3), dataset_with(4, 3, upper=True))


@pytest.mark.parametrize("upper", [False, True])
def test_names_both_counts_and_the_file(upper):
    with pytest.raises(InputError) as caught:
        check_class_counts(model_for(80, 53), dataset_with(4, 3, upper))
    assert str(caught.value).startswith(
        "model.panoptic_head has 80 thing and 53 stuff classes, but data/train.json has 4 and 3: "
    )


def test_the_file_is_found_in_a_wrapped_dataset():
    inner = dataset_with(4, 3)
    wrapped = SimpleNamespace(metainfo=inner.metainfo, datasets=[SimpleNamespace(dataset=inner)])
    with pytest.raises(InputError, match=r"data/train\.json"):
        check_class_counts(model_for(4, 4), wrapped)


def test_models_and_datasets_that_do_not_say_pass():
    check_class_counts(nn.Linear(1, 1), dataset_with(4, 3))
    check_class_counts(model_for(4, 3), SimpleNamespace(metainfo={"classes": ("a",)}))


@pytest.mark.parametrize("phase", ["train", "val", "test"])
def test_runs_before_each_loop(phase):
    loader = SimpleNamespace(dataset=dataset_with(1, 1))
    runner = SimpleNamespace(model=model_for(2, 1), **{f"{phase}_dataloader": loader})
    hook = HOOKS.build({"type": "mmproscale.ClassCountHook"})
    assert isinstance(hook, ClassCountHook)
    with pytest.raises(InputError):
        getattr(hook, f"before_{phase}")(runner)
