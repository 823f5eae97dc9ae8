"""Whether labels mean the same in several datasets, and are as many as the model's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmproscale.datasets.checks.faults import Fault, shown


def label_difference(found: Sequence[str], learned: Sequence[str]) -> tuple[int, str, str] | None:
    """The first label that two lists of names differ in, and its names ('none' beyond an end)."""
    for label in range(max(len(found), len(learned))):
        here, there = (names[label] if label < len(names) else "none" for names in (found, learned))
        if here != there:
            return label, here, there
    return None


def label_faults(
    found: Sequence[str], learned: Sequence[str], file: str, source: str
) -> Iterator[Fault]:
    """The fault of a file whose labels mean something else than another's.

    Args:
        found: the names of the file's classes, by label.
        learned: those of the other.
        file: the annotation file.
        source: the other annotation file.
    """
    difference = label_difference(found, learned)
    if difference is not None:
        label, here, there = difference
        problem = f"make label {label} {shown(here)}, which is {shown(there)} in '{source}'"
        action = "list them in one order (things first, each in the order of the file)"
        yield Fault("labels-differ", file, "categories", problem, action)


def count_faults(
    found: tuple[int, int], wanted: tuple[int, int], file: str, key: str
) -> Iterator[Fault]:
    """The fault of a file with other numbers of classes than the model.

    Args:
        found: the file's numbers of thing and stuff classes.
        wanted: the model's.
        file: the annotation file.
        key: where the config has the model's.
    """
    if found != wanted:
        problem = (
            f"have {found[0]} thing and {found[1]} stuff classes, but {key} has "
            f"{wanted[0]} and {wanted[1]}"
        )
        action = "set num_things_classes and num_stuff_classes to the dataset's"
        yield Fault("class-count", file, "categories", problem, action)


def box_count_faults(found: int, wanted: int, file: str) -> Iterator[Fault]:
    """The fault of a file with another number of classes than a detector.

    Args:
        found: the file's number of classes.
        wanted: the detector's.
        file: the annotation file.
    """
    if found != wanted:
        problem = f"have {found} classes, but model.bbox_head has {wanted}"
        yield Fault("class-count", file, "categories", problem, "set num_classes to the dataset's")
