"""Hooks for classes: counts, names and order are compared; the head learns its classes' names."""

from types import SimpleNamespace

import pytest
from helpers import heads, semantic
from mmengine.model import BaseTTAModel
from torch import nn

from mmproscale.errors import InputError
from mmproscale.models.heads import PanopticHead
from mmproscale.registry import HOOKS
from mmproscale.training import ClassCheckHook
from mmproscale.training.class_hooks import check_class_counts


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


def test_a_model_within_test_time_augmentation_has_its_counts():
    class Views(BaseTTAModel):
        def merge_preds(self, data_samples_list):
            raise NotImplementedError

    model = model_for(4, 3)
    model.test_step = None  # which mmengine asks for
    check_class_counts(Views(model), dataset_with(4, 3))
    with pytest.raises(InputError, match=r"have 5 thing and 3 stuff classes, but .* has 4 and 3"):
        check_class_counts(Views(model), dataset_with(5, 3))


@pytest.mark.parametrize("upper", [False, True])
def test_names_both_counts_and_the_file(upper):
    with pytest.raises(InputError) as caught:
        check_class_counts(model_for(80, 53), dataset_with(4, 3, upper))
    assert str(caught.value).startswith(
        "[class-count] 'data/train.json': categories have 4 thing and 3 stuff classes, but "
        "model.panoptic_head has 80 and 53: set num_things_classes and num_stuff_classes"
    )


def test_the_file_is_found_in_a_wrapped_dataset():
    inner = dataset_with(4, 3)
    wrapped = SimpleNamespace(metainfo=inner.metainfo, datasets=[SimpleNamespace(dataset=inner)])
    with pytest.raises(InputError, match=r"data/train\.json"):
        check_class_counts(model_for(4, 4), wrapped)


def test_models_and_datasets_that_do_not_say_pass():
    check_class_counts(nn.Linear(1, 1), dataset_with(4, 3))
    check_class_counts(model_for(4, 3), SimpleNamespace(metainfo={"classes": ("a",)}))


def test_classes_without_stuff_are_things():
    dataset = SimpleNamespace(metainfo={"classes": ("a", "b")}, ann_file="instances.json")
    check_class_counts(model_for(2, 0), dataset)
    with pytest.raises(InputError, match=r"instances\.json': categories have 2 thing and 0 stuff"):
        check_class_counts(model_for(80, 0), dataset)


def test_a_class_that_the_file_lacks_would_shift_the_labels_of_the_others():
    dataset = SimpleNamespace(metainfo={"classes": ("a", "b")}, ann_file="few.json", cat_ids=[7])
    with pytest.raises(InputError, match=r"few\.json has 1 of the config's 2 classes"):
        check_class_counts(model_for(2, 0), SimpleNamespace(dataset=dataset, metainfo={}))


def test_a_decode_head_has_as_many_classes_as_the_dataset():
    model = nn.Module()
    model.decode_head = nn.Module()
    model.decode_head.num_classes = 19
    maps = dict(data_prefix=dict(img_path="img", seg_map_path="data/maps"), ann_file="")
    check_class_counts(model, SimpleNamespace(metainfo={"classes": ("c",) * 19}, **maps))
    check_class_counts(model, SimpleNamespace(metainfo={}, **maps))
    three = SimpleNamespace(metainfo={"classes": ("c",) * 3}, **maps)
    with pytest.raises(InputError, match=r"data/maps': .* 3 classes, but .*decode_head has 19"):
        check_class_counts(model, three)
    model.decode_head.num_classes = 1  # of a depth model
    check_class_counts(model, three)


def runner_with(model, **datasets) -> SimpleNamespace:
    """Return the attributes of a runner that the hook uses."""
    loaders = {phase: SimpleNamespace(dataset=dataset) for phase, dataset in datasets.items()}
    runner = SimpleNamespace(model=model, val_loop=None, _train_loop=None)
    for phase, loader in loaders.items():
        setattr(runner, f"{phase}_dataloader", loader)
        setattr(runner, f"{phase}_loop", SimpleNamespace(dataloader=loader))
    return runner


@pytest.mark.parametrize("phase", ["train", "val", "test"])
def test_runs_before_each_loop(phase):
    hook = HOOKS.build({"type": "mmproscale.ClassCheckHook"})
    assert isinstance(hook, ClassCheckHook)
    with pytest.raises(InputError):
        getattr(hook, f"before_{phase}")(
            runner_with(model_for(2, 1), **{phase: dataset_with(1, 1)})
        )


def test_a_wrong_validation_set_stops_training_before_its_first_step():
    runner = runner_with(model_for(2, 1), train=dataset_with(2, 1), val=dataset_with(3, 1))
    with pytest.raises(InputError, match="have 3 thing and 1 stuff"):
        ClassCheckHook().before_train(runner)


def named(*names: str, file: str) -> SimpleNamespace:
    return SimpleNamespace(metainfo={"classes": names}, ann_file=file)


def test_labels_must_mean_the_same_in_training_and_validation():
    train, val = named("cat", "dog", file="train.json"), named("dog", "cat", file="val.json")
    with pytest.raises(InputError, match=r"val\.json'.* 0 'dog', which is 'cat' in 'train\.json'"):
        ClassCheckHook().before_train(runner_with(nn.Linear(1, 1), train=train, val=val))
    ClassCheckHook().before_train(runner_with(nn.Linear(1, 1), train=train, val=train))


def test_labels_must_mean_the_same_in_a_checkpoint_and_the_test_set():
    test = named("cat", "dog", file="test.json")
    runner = runner_with(nn.Linear(1, 1), test=test)
    hook = ClassCheckHook()
    hook.after_load_checkpoint(runner, {"meta": {"dataset_meta": {"CLASSES": ("cat", "cow")}}})
    with pytest.raises(InputError, match=r"test\.json'.* 1 'dog', which is 'cow' in the check"):
        hook.before_test(runner)
    hook.after_load_checkpoint(runner, {"meta": {}})
    hook.before_test(runner)


NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")


def training_runner(model: nn.Module, metainfo: dict) -> SimpleNamespace:
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
    hook.before_train(training_runner(model, {"CLASSES": names}))
    assert head.criterion.class_weight[1] == head.loss_cls.class_weight[1] == 9.0
    assert head.criterion.class_weight[-1] == 0.1


def test_a_wrong_name_stops_training():
    model = nn.Module()
    model.decode_head = semantic.build_ours(class_weight=dict(zebra=9.0))
    hook = HOOKS.build(dict(type="mmproscale.ClassNamesHook"))
    with pytest.raises(InputError, match="'zebra' is not a class"):
        hook.before_train(training_runner(model, {"classes": NAMES[: semantic.CLASSES]}))


def test_a_head_or_dataset_without_names_passes():
    hook = HOOKS.build(dict(type="mmproscale.ClassNamesHook"))
    hook.before_train(training_runner(nn.Linear(1, 1), {"classes": NAMES}))
    model = nn.Module()
    model.decode_head = semantic.build_ours()
    hook.before_train(training_runner(model, {}))
