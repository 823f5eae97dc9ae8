"""Lists of classes, and the permutation of rows by name."""

import pytest
from mmdet.datasets import CocoDataset, CocoPanopticDataset
from mmdet.datasets.ade20k import ADE20KPanopticDataset
from mmengine.config import Config

from mmproscale.checkpoints.foreign.class_lists import (
    CITYSCAPES,
    ade20k,
    coco_by_id,
    config_classes,
    config_metainfo,
    rows_by_name,
    source_classes,
    things_first,
)
from mmproscale.datasets.checks.categories import class_metainfo, order_categories
from mmproscale.datasets.conversion.ade20k import ade20k_categories
from mmproscale.datasets.conversion.cityscapes import CATEGORIES
from mmproscale.errors import InputError
from mmproscale.utils.config import load_config


@pytest.mark.parametrize(
    ("dataset", "categories"), [("cityscapes", CATEGORIES), ("ade20k", ade20k_categories())]
)
def test_our_order_is_that_of_our_converters(dataset, categories):
    ordered = order_categories([dict(category) for category in categories], "file")
    assert things_first(dataset) == tuple(class_metainfo(ordered)["classes"])


def test_cityscapes_is_in_the_order_of_train_ids():
    from mmseg.datasets import CityscapesDataset

    assert tuple(CityscapesDataset.METAINFO["classes"]) == CITYSCAPES


def test_published_panoptic_names_are_known():
    # 'window' here is 'windowpane' there; the order is things first in both.
    published = ADE20KPanopticDataset.METAINFO["classes"]
    assert rows_by_name(published, things_first("ade20k"), "there") == list(range(150))
    assert set(published) != set(things_first("ade20k"))


def test_ade20k_mixes_things_and_stuff():
    rows = rows_by_name(ade20k(), things_first("ade20k"), "there")
    assert rows[:3] == [7, 8, 10] and rows[100:103] == [0, 1, 2]  # bed ..., then wall ...
    assert sorted(rows) == list(range(150))


def test_synonyms_of_the_challenge():
    names = list(ade20k())
    names[1], names[8], names[90] = "building, edifice", "windowpane, window", "plane"
    assert rows_by_name(tuple(names), ade20k(), "there") == list(range(150))


def test_names_of_other_datasets_are_only_compared():
    assert rows_by_name(
        ("Window ", "wind_ow pane", "tv"), ("tv", "window", "wind ow-pane"), "x"
    ) == [*(2, 0, 1)]


@pytest.mark.parametrize(
    ("found", "wanted", "said"),
    [
        (("a", "b"), ("a", "c"), "1 of the classes of there match none of the config by name"),
        (("a",), ("a", "c"), "1 of the classes of the config match none of there by name"),
        (("a", None, "b"), ("b",), "1 of the classes of there match none of the config"),
    ],
)
def test_a_class_without_counterpart(found, wanted, said):
    with pytest.raises(InputError) as caught:
        rows_by_name(found, wanted, "there")
    assert said in str(caught.value) and "--partial" in str(caught.value)


def test_coco_by_category_id():
    names = coco_by_id()
    assert len(names) == 91 and sum(name is not None for name in names) == 80
    assert (names[0], names[1], names[12], names[13], names[90]) == (
        *(None, "person", None, "stop sign", "toothbrush"),
    )
    rows = rows_by_name(names, CocoDataset.METAINFO["classes"], "there")
    assert rows[0] == 1 and rows[-1] == 90


@pytest.mark.parametrize(
    ("lists", "count", "first"),
    [
        ("detectron2", 133, "person"),
        ("detectron2", 80, "person"),
        ("detectron2", 150, "wall"),
        ("detectron2", 19, "road"),
        ("detectron2", 7, None),
        ("coco-ids", 80, None),
        (None, 133, None),
    ],
)
def test_lists_of_sources(lists, count, first):
    names = source_classes(lists, count)
    assert (names[0] if names else None) == first
    assert names is None or len(names) == count


@pytest.mark.parametrize(
    ("config", "count", "first"),
    [
        ("m2f_r50_coco", 133, "person"),
        ("m2f_r50_coco-instance", 80, "person"),
        ("dino_r50_coco", 80, "person"),
        ("m2f_r50_cityscapes", 19, "person"),
        ("m2f_r50_cityscapes-semantic", 19, "road"),
        ("m2f_r50_ade20k", 150, "bed"),
        ("m2f_r50_ade20k-semantic", 150, "wall"),
        ("m2f_r18_shapes", None, None),
    ],
)
def test_classes_of_configs(config, count, first):
    names = config_classes(load_config(config))
    assert (names and len(names), names and names[0]) == (count, first)


def test_classes_that_a_config_states():
    dataset = dict(type="RepeatDataset", dataset=dict(metainfo=dict(classes=("a", "b"))))
    assert config_classes(Config(dict(train_dataloader=dict(dataset=dataset)))) == ("a", "b")
    assert config_classes(Config(dict())) is None


def test_metainfo_of_configs():
    panoptic = config_metainfo(load_config("m2f_r50_coco"))
    assert panoptic["thing_classes"] == CocoPanopticDataset.METAINFO["thing_classes"]
    assert panoptic["stuff_classes"] == CocoPanopticDataset.METAINFO["stuff_classes"]
    ade = config_metainfo(load_config("m2f_r50_ade20k-semantic"))
    assert ade["reduce_zero_label"] is True and len(ade["classes"]) == 150
    city = config_metainfo(load_config("m2f_r50_cityscapes-semantic"))
    assert city["reduce_zero_label"] is False
    assert config_metainfo(load_config("dino_r50_coco")).keys() == {"classes"}
    assert config_metainfo(load_config("m2f_r18_shapes")) == {}
