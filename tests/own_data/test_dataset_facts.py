"""Facts of COCO files and semantic maps, and the faults that keep them from being counted."""

import pytest

from mmproscale.errors import InputError
from mmproscale.own_data.dataset_facts import coco_facts

CATEGORIES = [
    dict(id=7, name="sky", isthing=0),
    dict(id=3, name="cow", isthing=1),
    dict(id=5, name="dog", isthing=1),
]
NAMES = ("train.json", "val.json")


def content(categories=CATEGORIES, **annotation) -> dict:
    images = [dict(id=i, width=10 * (i + 1), height=4) for i in range(4)]  # the last one is bare
    annotations = [dict(id=i, image_id=i, **annotation) for i in range(3)]
    return dict(images=images, annotations=annotations, categories=categories)


def test_panoptic_classes_are_things_first_and_counted_by_segments():
    segments = [dict(category_id=c) for c in (7, 3, 3)]
    facts = coco_facts("panoptic", *[content(segments_info=segments)] * 2, NAMES)
    assert (facts.things, facts.stuff) == (("cow", "dog"), ("sky",))
    assert facts.counts == (6, 0, 3) and facts.counted == "segments"
    assert (facts.train_images, facts.val_images, facts.size) == (3, 4, (20, 4))


def test_instance_classes_keep_the_files_order():
    facts = coco_facts("instance", *[content(category_id=5)] * 2, NAMES)
    assert facts.classes == facts.things == ("sky", "cow", "dog")
    assert facts.counts == (0, 0, 3) and facts.counted == "instances"


@pytest.mark.parametrize(
    ("categories", "fault"),
    [
        (CATEGORIES[:2], "make label 2 .none., which is .dog. in"),
        (CATEGORIES[:1] + CATEGORIES[:0:-1], "make label 1 .dog., which is .cow. in"),
    ],
)
def test_categories_that_differ_are_refused(categories, fault):
    with pytest.raises(InputError, match=fault):
        coco_facts("instance", content(category_id=5), content(categories), NAMES)


def test_files_without_annotations_are_refused():
    bare = content() | dict(annotations=[])
    with pytest.raises(InputError, match=r"'train\.json' has no panoptic annotation"):
        coco_facts("panoptic", bare, bare, NAMES)


def test_classes_that_are_not_learned_are_said():
    segments = [dict(category_id=c, iscrowd=int(c == 3)) for c in (7, 3, 3)]
    facts = coco_facts("panoptic", *[content(segments_info=segments)] * 2, NAMES)
    assert facts.counts == (0, 0, 3)
    first, second = facts.warnings
    assert first.startswith("class 'cow' occurs as crowd only (6): set iscrowd to 0")
    assert "1 of 3 classes occur nowhere in 'train.json': 'dog'" in second
    facts = coco_facts("instance", *[content(category_id=5)] * 2, NAMES)
    (warning,) = facts.warnings
    assert "2 of 3 classes" in warning and "remove them from 'things' in the config" in warning


def test_a_class_that_only_groups_others_is_left_out():
    grouped = [category | dict(supercategory="animals") for category in CATEGORIES]
    grouped.insert(0, dict(id=0, name="animals", supercategory="none"))
    for kind in ("instance", "boxes"):
        facts = coco_facts(kind, *[content(grouped, category_id=5)] * 2, NAMES)
        assert facts.classes == ("sky", "cow", "dog") and facts.counts == (0, 0, 3)
        assert facts.warnings[0].startswith("class 'animals' is left out: it only groups")
    facts = coco_facts("boxes", *[content(grouped, category_id=0)] * 2, NAMES)
    assert facts.classes[0] == "animals" and facts.counted == "boxes"
