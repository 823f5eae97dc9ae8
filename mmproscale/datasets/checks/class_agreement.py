"""Agreement on classes: between the files of a config, its model and a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mmproscale.utils.faults import Fault, excerpt

CLASS_KEYS = ("classes", "thing_classes", "stuff_classes")
"""The names in a dataset's metainfo."""


def label_faults(
    found: Sequence[str], learned: Sequence[str], file: str, source: str
) -> Iterator[Fault]:
    """Yield the fault of a file whose labels mean other classes than `learned`.

    Args:
        found: the names of the file's classes, by label.
        learned: the names that they should be, by label.
        file: the annotation file.
        source: names what has `learned`.
    """
    for label in range(max(len(found), len(learned))):
        here, there = (names[label] if label < len(names) else "none" for names in (found, learned))
        if here != there:
            problem = f"make label {label} {excerpt(here)}, which is {excerpt(there)} in "
            action = "list them in one order (things first, each in the order of the file)"
            yield Fault("labels-differ", file, "categories", problem + source, action)
            return


def class_count_faults(
    found: tuple[int, ...], wanted: tuple[int, ...], file: str, key: str
) -> Iterator[Fault]:
    """Yield the fault of a file with another number of classes than the model.

    Args:
        found: the file's number of classes, or its numbers of thing and of stuff classes.
        wanted: the numbers of the model, in the same form.
        file: the annotation file.
        key: config key that states the model's number, e.g. 'model.panoptic_head'.
    """
    if found == wanted:
        return
    if len(found) == 1:
        problem = f"have {found[0]} classes, but {key} has {wanted[0]}"
        action = "set num_classes to the dataset's"
    else:
        problem = f"have {found[0]} thing and {found[1]} stuff classes, but {key} has "
        problem += f"{wanted[0]} and {wanted[1]}"
        action = "set num_things_classes and num_stuff_classes to the dataset's"
    yield Fault("class-count", file, "categories", problem, action)


def stated_class_faults(stated: Mapping, found: Mapping, path: str) -> Iterator[Fault]:
    """Yield faults of the class names that a config states: they must be the file's names.

    Args:
        stated: the config's metainfo, of which `CLASS_KEYS` are compared.
        found: result of `class_metainfo` for the file.
        path: the annotation file's name, for messages.
    """
    for key in CLASS_KEYS:
        if key not in stated:
            continue
        names = [stated[key]] if isinstance(stated[key], str) else stated[key]
        extra = sorted(set(names) - set(found[key]))
        lacking = sorted(set(found[key]) - set(names))
        if extra or lacking:
            problem = (
                f"and metainfo.{key} differ: only in the config {_listing(extra)}, "
                f"only in the file {_listing(lacking)}"
            )
            action = "leave metainfo out to take the file's"
            yield Fault("classes-differ", path, "categories", problem, action)


def _listing(names: Sequence[str], limit: int = 5) -> str:
    text = ", ".join(names[:limit]) or "none"
    return text + (f" and {len(names) - limit} more" if len(names) > limit else "")


def unknown_class_faults(
    stated: Sequence[str], categories: Sequence[Mapping], file: str
) -> Iterator[Fault]:
    """Yield the fault of classes that a config states and the file lacks: mmdet drops them.

    Args:
        stated: the names that the config states.
        categories: categories of the file.
        file: name of the file.
    """
    known = {category.get("name") for category in categories}
    unknown = [name for name in stated if name not in known]
    if unknown:
        problem = f"lacks {excerpt(unknown)}, which metainfo.classes lists"
        action = "state the file's classes in the dataset's metainfo"
        yield Fault("classes-differ", file, "categories", problem, action)
