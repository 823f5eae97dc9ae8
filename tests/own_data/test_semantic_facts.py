"""Facts of semantic maps: classes by label, and warnings of labels that may mean others."""

import pytest
from helpers.own_data import write_semantic

from mmproscale.errors import InputError
from mmproscale.own_data.layouts import SplitFiles
from mmproscale.own_data.semantic_facts import read_maps, semantic_facts


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
