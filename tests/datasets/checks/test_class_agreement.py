"""Agreement on classes: labels, counts, and names that a config states."""

import pytest

from mmproscale.datasets.checks.class_agreement import (
    class_count_faults,
    label_faults,
    stated_class_faults,
    unknown_class_faults,
)

FOUND = dict(classes=("cow", "sky"), thing_classes=("cow",), stuff_classes=("sky",))


@pytest.mark.parametrize(
    ("found", "learned", "difference"),
    [
        ((), (), None),
        (("a", "b"), ("a", "b"), None),
        (("b", "a"), ("a", "b"), "make label 0 'b', which is 'a'"),
        (("a",), ("a", "b"), "make label 1 'none', which is 'b'"),
        (("a", "b"), ("a",), "make label 1 'b', which is 'none'"),
    ],
)
def test_the_first_label_that_differs_is_stated(found, learned, difference):
    faults = list(label_faults(found, learned, "val.json", "'train.json'"))
    texts = [str(fault).partition(": list")[0] for fault in faults]
    expected = f"'val.json': categories {difference} in 'train.json'"
    assert texts == ([] if difference is None else [expected])


@pytest.mark.parametrize(
    ("found", "wanted", "text"),
    [
        ((2, 3), (2, 3), None),
        ((2, 3), (3, 2), "have 2 thing and 3 stuff classes, but model.x has 3 and 2"),
        ((3,), (3,), None),
        ((3,), (4,), "have 3 classes, but model.x has 4"),
    ],
)
def test_numbers_of_classes(found, wanted, text):
    faults = list(class_count_faults(found, wanted, "a.json", "model.x"))
    assert [fault.problem for fault in faults] == ([] if text is None else [text])


@pytest.mark.parametrize(
    ("stated", "problems"),
    [
        (dict(), []),
        (dict(classes=("sky", "cow"), palette=[]), []),
        (dict(thing_classes="cow"), []),
        (dict(classes=("cow", "sea")), ["only in the config sea, only in the file sky"]),
        (
            dict(thing_classes=("sky", "cow"), stuff_classes=()),
            [
                "only in the config sky, only in the file none",
                "only in the config none, only in the file sky",
            ],
        ),
    ],
)
def test_stated_names_are_compared_as_sets(stated, problems):
    faults = list(stated_class_faults(stated, FOUND, "a.json"))
    assert [fault.problem.partition("differ: ")[2] for fault in faults] == problems


def test_long_lists_of_names_are_cut():
    (fault,) = stated_class_faults(dict(classes=[*"abcdefgh", "cow", "sky"]), FOUND, "a.json")
    assert "only in the config a, b, c, d, e and 3 more" in fault.problem


def test_a_config_may_state_some_of_an_instance_files_classes():
    categories = [dict(id=1, name="car"), dict(id=2, name="bus")]
    assert not list(unknown_class_faults(("bus",), categories, "a.json"))
    (fault,) = unknown_class_faults(("bus", "horse"), categories, "a.json")
    assert fault.kind == "classes-differ" and "lacks ['horse']" in fault.problem
