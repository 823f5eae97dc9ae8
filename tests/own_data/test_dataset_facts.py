"""Facts of COCO files and semantic maps, and the faults that keep them from being counted."""

import pytest
from helpers.own_data import write_semantic

from mmproscale.errors import InputError
from mmproscale.own_data.dataset_facts import coco_facts, read_maps, semantic_facts
from mmproscale.own_data.layouts import SplitFiles

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


@pytest.mark.parametrize("workers", [1, 2])
def test_semantic_classes_are_counted_by_images(tmp_path, workers):
    root = write_semantic(tmp_path, splits=("train",), count=17)
    files = SplitFiles(ann=root / "ann_dir/train", img=root / "img_dir/train")
    maps = read_maps(files, workers, lambda *done: None)
    assert maps.names[:2] == ("0", "1") and maps.sizes[0] == (96, 64)
    facts = semantic_facts(maps, maps, None, zero_is_void=False)
    assert facts.classes == ("class 0", "class 1", "class 2")
    assert facts.counts == (17, 9, 17) and facts.counted == "images"
    facts = semantic_facts(maps, maps, ("tree", "car"), zero_is_void=True)
    assert facts.classes == ("tree", "car") and facts.counts == (9, 17)
    with pytest.raises(InputError, match=r"has the label 2, .*add --zero-is-void"):
        semantic_facts(maps, maps, ("tree", "car"), zero_is_void=False)


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


@pytest.mark.parametrize(
    ("names", "zero_is_void", "words"),
    [
        ("road tree car", False, []),
        ("road tree car sky", False, ["1 of 4 classes occur in no map", "'sky'"]),
        ("unlabeled tree car", False, ["label 0 is the class 'unlabeled'"]),
        ("background tree car", False, []),
        ("tree car", True, ["label 0 covers"]),
        ("road tree car", True, ["1 of 3", "label 0 covers", "label 3 the last, 'car' (0"]),
        ("background tree", True, ["label 0 covers", "label 1 the first name, 'background'"]),
    ],
)
def test_labels_that_may_mean_something_else_are_said(tmp_path, names, zero_is_void, words):
    root = write_semantic(tmp_path, splits=("train",))
    files = SplitFiles(ann=root / "ann_dir/train", img=root / "img_dir/train")
    maps = read_maps(files, 1, lambda *done: None)
    warnings = semantic_facts(maps, maps, tuple(names.split()), zero_is_void).warnings
    assert all(any(word in line for line in warnings) for word in words), warnings
    assert bool(warnings) == bool(words)


def test_more_classes_than_maps_hold_are_refused(tmp_path):
    root = write_semantic(tmp_path, splits=("train",))
    files = SplitFiles(ann=root / "ann_dir/train", img=root / "img_dir/train")
    maps = read_maps(files, 1, lambda *done: None)
    for count, zero_is_void in ((256, False), (255, True)):
        names = tuple(f"class {number}" for number in range(count))
        with pytest.raises(InputError, match=f"{count} classes: maps of 8 bits hold {count - 1}"):
            semantic_facts(maps, maps, names, zero_is_void)
        assert semantic_facts(maps, maps, names[1:], zero_is_void).stuff == names[1:]
