"""Batches that begin at any position of a sampler, which also seeds their augmentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import get_dist_info
from torch.utils.data import DataLoader, Dataset

from mmproscale.errors import InputError
from mmproscale.training.random_states import seeded

_OPTIONS = (
    "num_workers",
    "collate_fn",
    "pin_memory",
    "timeout",
    "worker_init_fn",
    "multiprocessing_context",
    "prefetch_factor",
    "persistent_workers",
)
# An index of the dataset, and the seed of its augmentation: (seed, epoch, position).
Item = tuple[Any, tuple[int, int, int]]


class PositionedBatches:
    """One epoch of a batch sampler, with the seed of each item's augmentation.

    The position of an item counts the items of all processes, so that the seed depends neither on
    the number of workers nor on the batches.

    Attributes:
        seed: Seed of the sampler and of the augmentation.
        epoch: Number of the epoch.
        skip: Number of batches that are left out of what is iterated next. Their indices are drawn,
            but no item is loaded.
    """

    def __init__(self, batch_sampler: Any, seed: int) -> None:
        self.batch_sampler = batch_sampler
        self.epoch = self.skip = 0
        self._own_seed = seed

    @property
    def seed(self) -> int:
        """Return the sampler's seed; for a sampler without one, the run's seed."""
        return getattr(self.batch_sampler.sampler, "seed", self._own_seed)

    @seed.setter
    def seed(self, seed: int) -> None:
        self._own_seed = seed
        if hasattr(self.batch_sampler.sampler, "seed"):
            self.batch_sampler.sampler.seed = seed

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[list[Item]]:
        rank, processes = get_dist_info()
        sampler = self.batch_sampler.sampler
        position = 0
        if self.skip:
            self.batch_sampler.sampler = _RememberedShapes(sampler)
        for batch in self.batch_sampler:
            if self.skip:
                self.skip -= 1
            else:
                self.batch_sampler.sampler = sampler
                places = range(position * processes + rank, 2**63, processes)
                yield [
                    (index, (self.seed, self.epoch, place))
                    for index, place in zip(batch, places, strict=False)
                ]
            position += len(batch)
        self.batch_sampler.sampler = sampler
        if not position:
            raise InputError(
                f"the training set has {len(sampler)} images for each process, and not one batch: "
                "lower train_dataloader.batch_size or set drop_last=False"
            )


class EndlessBatches(PositionedBatches):
    """All epochs of a batch sampler in turn."""

    def __iter__(self) -> Iterator[list[Item]]:
        while True:
            yield from super().__iter__()
            self.epoch += 1
            if hasattr(self.batch_sampler.sampler, "set_epoch"):
                self.batch_sampler.sampler.set_epoch(self.epoch)


class _RememberedShapes:
    """Sampler whose dataset remembers the width and height of each image.

    mmdet's batch samplers ask for them again in each epoch, which is slow for a skipped epoch.
    """

    def __init__(self, sampler: Any) -> None:
        self._sampler = sampler
        self._shapes: dict[Any, dict] = {}
        self.dataset = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)

    def __iter__(self) -> Iterator:
        return iter(self._sampler)

    def __len__(self) -> int:
        return len(self._sampler)

    def get_data_info(self, index: Any) -> dict:
        """Return what the dataset states of an item; later only its width and height."""
        if index not in self._shapes:
            info = self._sampler.dataset.get_data_info(index)
            if not {"width", "height"} <= info.keys():
                return info
            self._shapes[index] = {key: info[key] for key in ("width", "height")}
        return self._shapes[index]


class SeededItems(Dataset):
    """Dataset whose items are loaded with the seed that comes with their index."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: Item) -> Any:
        index, entropy = item
        with seeded(entropy):
            return self.dataset[index]


def iterate_by(loader: DataLoader, batches: PositionedBatches) -> None:
    """Have a loader iterate over some batches, each item with its seed.

    The loader keeps its attributes, which hooks read. Iteration draws no global random number.
    """
    options = {name: getattr(loader, name) for name in _OPTIONS}

    def get_iterator() -> Iterator:
        return DataLoader(
            SeededItems(loader.dataset),
            batch_sampler=batches,  # type: ignore[arg-type]  # any iterable with a length
            generator=torch.Generator(),
            **options,
        )._get_iterator()

    loader._get_iterator = get_iterator  # type: ignore[assignment]
