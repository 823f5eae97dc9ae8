"""Categories: things first, mmdet's metainfo, and one fault for each broken value."""

import pytest

from mmproscale.datasets.checks.categories import category_faults, class_metainfo, order_categories
from mmproscale.errors import InputError

GRASS = dict(id=7, name="grass", isthing=0, color=[1, 2, 3])
COW = dict(id=3, name="cow", isthing=1)
SKY = dict(id=9, name="sky", isthing=0)


def test_things_come_first_and_the_files_order_stays():
    dog = dict(id=1, name="dog", isthing=1)
    assert order_categories([SKY, COW, GRASS, dog], "a.json") == [COW, dog, SKY, GRASS]


def test_faulty_categories_are_not_ordered():
    with pytest.raises(InputError, match=r"\A\[category-id-twice\] 'a\.json': categories\[1\]"):
        order_categories([COW, SKY | dict(id=3)], "a.json")


def test_metainfo_is_by_label():
    metainfo = class_metainfo([COW, GRASS, SKY])
    assert metainfo["classes"] == ("cow", "grass", "sky")
    assert metainfo["thing_classes"] == ("cow",) and metainfo["stuff_classes"] == ("grass", "sky")
    assert metainfo["palette"][1] == (1, 2, 3) and len(set(metainfo["palette"])) == 3
    assert metainfo["categories"][1] == dict(id=7, name="grass", isthing=0)


@pytest.mark.parametrize(
    ("categories", "kinds"),
    [
        ([GRASS, COW], []),
        ([], ["category-count"]),
        ([dict(id=i, name=str(i), isthing=1) for i in range(256)], ["category-count"]),
        ([dict(isthing=1)], ["category-key-missing"] * 2),
        ([COW | dict(id=True)], ["category-id-type"]),
        ([COW | dict(name=" ")], ["category-name-type"]),
        ([COW, SKY | dict(name="cow")], ["category-name-twice"]),
        ([COW | dict(isthing=2)], ["isthing-value"]),
        ([dict(id=3, name="cow")], ["isthing-missing"]),
        ([COW | dict(color=[0, 0, 256])], ["category-color"]),
        ([COW | dict(color="red")], ["category-color"]),
    ],
)
def test_each_broken_value_is_one_fault(categories, kinds):
    assert [fault.kind for fault in category_faults(categories, "a.json")] == kinds


def test_instances_need_neither_isthing_nor_few_classes():
    plain = [dict(id=i, name=str(i), color="red") for i in range(1203)]
    assert not list(category_faults(plain, "a.json", panoptic=False))
