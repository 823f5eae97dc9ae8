"""Accounting of the evaluated images: each image counts exactly once, on one process."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

from mmproscale.errors import InputError

_NO_IMAGE = object()


def batch_ids(data_batch: Any) -> list[Any] | None:
    """Return the image ids of a batch as the dataloader gave it; None for a batch without ids.

    With test-time augmentation the batch has a list of data samples for each view.
    """
    samples = data_batch.get("data_samples") if isinstance(data_batch, dict) else None
    if samples and isinstance(samples[0], Sequence):
        samples = samples[0]
    if not isinstance(samples, Sequence) or any(s.get("img_id") is None for s in samples):
        return None
    return [sample.get("img_id") for sample in samples]


def check_batch(given: Sequence[Any] | None, returned: Sequence[Any]) -> None:
    """Check that a model returned each image of a batch once.

    Args:
        given: Ids of the images that the dataloader gave; None if they are unknown.
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
    """Return which results of a process count, so that each image counts once.

    Samplers fill up the last round with the first images, so that all processes get equally many.
    Such an image counts on the first process that has it. Any other image that is missing or
    doubled is an error, and every process raises the same one.

    Args:
        ids_of_ranks: For each process, the image ids of its results, in order.
        rank: Rank of this process.
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
            f"image {_doubled(ids_of_ranks)} has several results, and not because a sampler "
            "filled up the last round: use one that gives each image once (DefaultSampler)"
        )
    seen = set(chain(*ids_of_ranks[:rank]))
    own: list[int] = []
    for index, image_id in enumerate(ids_of_ranks[rank]):
        if image_id not in seen:
            own.append(index)
            seen.add(image_id)
    return own


def _is_filled_up(ids_of_ranks: Sequence[Sequence[Any]], size: int) -> bool:
    """Tell if a sampler may have given each image once and then the first ones to fill up."""
    extra = sum(map(len, ids_of_ranks)) - size
    turns = zip_longest(*ids_of_ranks, fillvalue=_NO_IMAGE)
    in_turn = [image_id for image_id in chain(*turns) if image_id is not _NO_IMAGE]
    in_blocks = list(chain(*ids_of_ranks))
    # Filling up takes less than one image for each process, and none for one process.
    if extra >= len(ids_of_ranks):
        return False
    # DefaultSampler deals images in turn.
    return _begins_again(in_turn, size) or _begins_again(in_blocks, size)


def _begins_again(order: Sequence[Any], size: int) -> bool:
    """Tell if all images come first and the rest repeats the first of them."""
    again = (order[index % size] for index in range(size, len(order)))
    return len(set(order[:size])) == size and list(again) == list(order[size:])


def _doubled(ids_of_ranks: Sequence[Sequence[Any]]) -> Any:
    """Return an image with several results, if possible one that did not fill up a batch."""
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
