"""Which images were evaluated, and on which process each counts: none lost, none doubled."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

from mmproscale.errors import InputError

_NONE = object()


def check_batch(given: Sequence[Any] | None, returned: Sequence[Any]) -> None:
    """Check that a model returned each image of a batch once.

    Args:
        given: Ids of the images that the dataloader gave; None where that is not known.
        returned: Ids of the model's results.

    Raises:
        InputError: An image has no result, or too many; the message names it.
    """
    if given is None:
        return
    wanted, got = Counter(given), Counter(returned)
    for image_id in chain(wanted, got):
        if wanted[image_id] != got[image_id]:
            raise InputError(
                f"image {image_id} has {got[image_id]} results, but the dataloader gave it "
                f"{wanted[image_id]} times: the model must return one result for each image"
            )


def own_images(
    ids_of_ranks: Sequence[Sequence[Any]], rank: int, size: int, known: Sequence[Any] = ()
) -> list[int]:
    """Which results of a process count, so that each image counts once.

    Samplers fill up the last round with the first images, so that each process gets as many: those
    results count on the first process that has them. Anything else that is missing or there twice
    is an error; every process raises the same.

    Args:
        ids_of_ranks: For each process, ids of the images that it has results of, in order.
        rank: Of this process.
        size: Length of the dataset.
        known: Ids in the annotation file, in order, to name an image that is lost.

    Returns:
        Indices into ``ids_of_ranks[rank]``.

    Raises:
        InputError: A lost image, a doubled one, or more images than the dataset has.
    """
    distinct = set(chain(*ids_of_ranks))
    if len(distinct) != size:
        raise InputError(_wrong_number(distinct, size, known))
    if not _is_filled_up(ids_of_ranks, size):
        raise InputError(
            f"image {_doubled(ids_of_ranks)} has several results, other than a sampler that fills "
            "up the last round would give: use one that gives each image once (DefaultSampler)"
        )
    seen = set(chain(*ids_of_ranks[:rank]))
    own: list[int] = []
    for index, image_id in enumerate(ids_of_ranks[rank]):
        if image_id not in seen:
            own.append(index)
            seen.add(image_id)
    return own


def _interleaved(ids_of_ranks: Sequence[Sequence[Any]]) -> list[Any]:
    """The order in which DefaultSampler deals images out: one to each process in turn."""
    turns = zip_longest(*ids_of_ranks, fillvalue=_NONE)
    return [image_id for image_id in chain(*turns) if image_id is not _NONE]


def _is_filled_up(ids_of_ranks: Sequence[Sequence[Any]], size: int) -> bool:
    """Whether some sampler deals so: each image once, then again from the first, until it fits."""
    extra = sum(map(len, ids_of_ranks)) - size
    in_turn, in_blocks = _interleaved(ids_of_ranks), list(chain(*ids_of_ranks))
    # Dealing as many to each takes fewer than one more for each; one process needs none.
    if extra >= len(ids_of_ranks):
        return False
    return _begins_again(in_turn, size) or _begins_again(in_blocks, size)


def _begins_again(order: Sequence[Any], size: int) -> bool:
    """Whether all images come first and what follows repeats the first of them."""
    again = (order[index % size] for index in range(size, len(order)))
    return len(set(order[:size])) == size and list(again) == list(order[size:])


def _doubled(ids_of_ranks: Sequence[Sequence[Any]]) -> Any:
    """An image that is there twice, and if possible one that does not look like filling up."""
    twice = [image_id for image_id, n in Counter(chain(*ids_of_ranks)).items() if n > 1]
    ends = {ids[-1] for ids in ids_of_ranks if ids} & {ids[0] for ids in ids_of_ranks if ids}
    return next((image_id for image_id in twice if image_id not in ends), twice[0])


def _wrong_number(distinct: set, size: int, known: Sequence[Any]) -> str:
    if len(distinct) > size:
        return (
            f"results of {len(distinct)} images, but the dataset has {size}: "
            "evaluate once for each pass over the dataloader"
        )
    # A subset of a dataset is its first images, unless it was chosen by hand.
    first = list(known[:size])
    lost = [i for i in first if i not in distinct] if distinct <= set(first) else []
    named = (
        f": image {lost[0]}" + (f" and {len(lost) - 1} more" if lost[1:] else "") if lost else ""
    )
    return (
        f"{size - len(distinct)} of the dataset's {size} images have no result{named}; check the "
        "sampler and the processes: every image must be evaluated by one of them"
    )
