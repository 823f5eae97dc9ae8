"""Dataset files of configs: paths are joined, wrappers opened, each dataset listed once."""

import pytest
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS, Registry

from mmproscale.errors import InputError
from mmproscale.evaluation import UniversalSegMetric
from mmproscale.training.datasets_of_config import datasets_of_config
from mmproscale.utils.config import load_config

PANOPTIC = dict(
    type="mmproscale.PanopticDataset",
    data_root="root/",
    ann_file="a.json",
    data_prefix=dict(img="img/", seg="seg/"),
)
COCO = dict(type="CocoDataset", ann_file="/b.json", data_prefix=dict(img="/img"))


def of(**datasets):
    loaders = {f"{split}_dataloader": dict(dataset=d) for split, d in datasets.items()}
    return datasets_of_config(Config(loaders))


def test_paths_are_joined_and_val_and_test_are_one(configs):
    config = load_config(configs / "m2f_r18_camvid.py", {"data_root": "/data/camvid"})
    train, val = datasets_of_config(config)
    assert train.ann_file == "/data/camvid/annotations/panoptic_train.json"
    assert train.img == "/data/camvid/train/"
    assert val.seg == "/data/camvid/annotations/panoptic_val/"
    assert val.name == "/data/camvid/annotations/panoptic_val.json (val, test)"
    assert train.panoptic and train.need_annotations and not val.need_annotations


def test_wrappers_are_opened():
    both = dict(type="ConcatDataset", datasets=[PANOPTIC, COCO])
    repeated = dict(type="RepeatDataset", times=3, dataset=both)
    found = of(train=repeated, val=COCO | dict(test_mode=True))
    assert [files.ann_file for files in found] == ["root/a.json", "/b.json", "/b.json"]
    assert [files.panoptic for files in found] == [True, False, False]
    assert found[0].img == "root/img/"


def test_what_is_scored_needs_every_image_annotated():
    ours = dict(type="mmproscale.UniversalSegMetric", ann_file="a.json")
    test = PANOPTIC | dict(test_mode=True)
    loaders = dict(train_dataloader=dict(dataset=PANOPTIC), val_dataloader=dict(dataset=test))
    for evaluator in (ours, [dict(type="DumpResults"), ours], dict(type="Evaluator", metrics=ours)):
        found = datasets_of_config(Config(loaders | dict(val_evaluator=evaluator)))
        assert [files.scored for files in found] == [False, True]
    for evaluator in (None, dict(type="CocoMetric")):
        found = datasets_of_config(Config(loaders | dict(val_evaluator=evaluator)))
        assert not any(files.scored for files in found)


def test_a_users_metric_is_ours_by_its_class_and_not_by_its_name():
    metrics = Registry("metric", parent=METRICS, scope="theirs")
    metrics.register_module(name="Scores", module=type("Scores", (UniversalSegMetric,), {}))
    metrics.register_module(module=type("NotAUniversalSegMetric", (BaseMetric,), {}))
    loader = dict(dataset=PANOPTIC | dict(test_mode=True))
    try:
        for name, scored in (("Scores", True), ("NotAUniversalSegMetric", False)):
            settings = dict(val_dataloader=loader, val_evaluator=dict(type=f"theirs.{name}"))
            assert datasets_of_config(Config(settings))[0].scored is scored
    finally:
        del METRICS.children["theirs"]


def test_class_counts_are_those_that_the_config_states_of_its_model():
    head = dict(num_things_classes=2, num_stuff_classes=3)
    for model, counts in ((dict(panoptic_head=head), (2, 3)), (dict(), None), (None, None)):
        found = datasets_of_config(Config(dict(train_dataloader=dict(dataset=COCO), model=model)))
        assert found[0].model_classes == counts


def test_class_names_are_those_that_the_reader_uses(configs):
    assert of(train=PANOPTIC)[0].metainfo == ()
    stated = of(train=PANOPTIC | dict(metainfo=dict(classes=["a", "b"])))[0]
    assert stated.metainfo == (("classes", ("a", "b")),) and stated.things_first
    assert len(dict(of(train=COCO)[0].metainfo)["classes"]) == 80
    stock = of(train=PANOPTIC | dict(type="CocoPanopticDataset"))[0]
    assert stock.metainfo == () and not stock.things_first


@pytest.mark.parametrize(
    ("dataset", "part"),
    [
        (dict(type="VOCDataset", ann_file="a.txt"), "VOCDataset, whose files are not COCO's"),
        (dict(type="NoSuchDataset", ann_file="a.json"), "NoSuchDataset"),
        (PANOPTIC | dict(ann_file=""), "train_dataloader.dataset.ann_file is not set"),
        (PANOPTIC | dict(backend_args=dict(backend="petrel")), "not of a local disk"),
        (PANOPTIC | dict(data_prefix=dict(img="x")), "train_dataloader.dataset.data_prefix.seg"),
        (PANOPTIC | dict(data_prefix=dict(seg="x")), "train_dataloader.dataset.data_prefix.img"),
    ],
)
def test_what_cannot_be_checked_is_refused(dataset, part):
    with pytest.raises(InputError, match=rf"\A.*{part}.*\Z"):
        of(train=dataset)


def test_a_config_without_datasets_is_refused():
    with pytest.raises(InputError, match="no dataset"):
        datasets_of_config(Config(dict(train_dataloader=None)))


@pytest.mark.parametrize(
    ("step", "masks"),
    [
        (dict(type="mmproscale.LoadInstances"), True),
        (dict(type="LoadAnnotations", with_bbox=True), False),
        (dict(type="LoadAnnotations", with_mask=True), True),
        (dict(type="RandomFlip"), None),
    ],
)
def test_masks_are_needed_where_the_pipeline_loads_them(step, masks):
    dataset = COCO | dict(pipeline=[dict(type="LoadImageFromFile"), step])
    (files,) = of(train=dataset)
    assert files.need_masks is masks


def test_instances_that_are_scored_must_be_there():
    loaders = dict(val_dataloader=dict(dataset=COCO | dict(test_mode=True)))
    for name, needed in (("mmproscale.CocoMetric", True), ("CocoMetric", False)):
        config = Config(loaders | dict(val_evaluator=dict(type=name, ann_file="b.json")))
        assert [files.need_annotations for files in datasets_of_config(config)] == [needed]
