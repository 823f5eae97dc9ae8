"""Lists of classes are compared by label, whatever their lengths."""

import pytest

from mmproscale.datasets.checks.class_agreement import count_faults, label_difference, label_faults


@pytest.mark.parametrize(
    ("found", "learned", "difference"),
    [
        ((), (), None),
        (("a", "b"), ("a", "b"), None),
        (("b", "a"), ("a", "b"), (0, "b", "a")),
        (("a",), ("a", "b"), (1, "none", "b")),
        (("a", "b"), ("a",), (1, "b", "none")),
    ],
)
def test_the_first_difference(found, learned, difference):
    assert label_difference(found, learned) == difference
    faults = list(label_faults(found, learned, "val.json", "train.json"))
    assert len(faults) == (difference is not None)
    assert all("'val.json'" in str(f) and "'train.json'" in str(f) for f in faults)


def test_counts():
    assert not list(count_faults((2, 3), (2, 3), "a.json", "model"))
    fault, *_ = count_faults((2, 3), (3, 2), "a.json", "model")
    assert "have 2 thing and 3 stuff classes, but model has 3 and 2" in str(fault)
