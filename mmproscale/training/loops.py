"""Training loops whose data continue exactly where a checkpoint was saved.

Batches begin at any position of a sampler. Augmentation depends on this position only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Any

import torch
from mmengine.dist import get_dist_info
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmproscale.errors import InputError
from mmproscale.registry import LOOPS
from mmproscale.training.random_states import seeded

DATA_SEED = "data_seed"  # in the message hub, which is saved with a checkpoint
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


@LOOPS.register_module()
class ResumableIterLoop(IterBasedTrainLoop):
    """mmengine's IterBasedTrainLoop, with its arguments, and data by position.

    Augmentation is seeded by the seed and the position in the sampler's sequence, so that it does
    not depend on the number of workers. A resumed run draws the indices of the batches before it,
    and loads none of them.
    """

    dataloader_iterator: Any

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, **options: Any) -> None:
        loader, self.batches = positioned(runner, dataloader, EndlessBatches)
        start = loader._get_iterator
        # The stock loop starts the workers here, before it is known where they begin.
        loader._get_iterator = lambda: _later(start)  # type: ignore[assignment, return-value]
        super().__init__(runner, loader, **options)

    def run(self) -> nn.Module:
        """Train. The stock loop's calls that advance its data do nothing here."""
        share_seed(self.runner, self.batches)
        self.batches.skip = self._iter
        self.dataloader_iterator = _Batches(repeat(None, self._iter), self.dataloader_iterator)
        return super().run()


class _Batches(chain):
    """Iterators in turn; the first one holds the steps by which a stock loop skips data."""

    def skip_iter(self, num_iters: int) -> None:
        """Skip batches, as the maintained fork's loop asks its iterator to do."""
        for _ in range(num_iters):
            next(self)


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """mmengine's EpochBasedTrainLoop, with its arguments, and data by position.

    See `ResumableIterLoop`. A run that is resumed within an epoch continues that epoch.
    """

    _first = 0

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, **options: Any) -> None:
        loader, self.batches = positioned(runner, dataloader, PositionedBatches)
        super().__init__(runner, loader, **options)

    def run(self) -> nn.Module:
        """Train, from the batch of the epoch at which the checkpoint was saved."""
        share_seed(self.runner, self.batches)
        first = self._iter - self._epoch * len(self.dataloader)
        if 0 <= first < len(self.dataloader):
            self._first = self.batches.skip = first
        else:
            self.runner.logger.warning(
                f"Iteration {self._iter} does not lie in epoch {self._epoch + 1}, which now has "
                f"{len(self.dataloader)} batches: the epoch starts with its first batch"
            )
        return super().run()

    def run_epoch(self) -> None:
        """Run the rest of an epoch."""
        self.batches.epoch = self._epoch
        super().run_epoch()
        self._first = 0

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Run a step; `idx` counts the batches of this run's epoch."""
        super().run_iter(self._first + idx, data_batch)


def positioned(
    runner: Runner, dataloader: DataLoader | dict, kind: type[PositionedBatches]
) -> tuple[DataLoader, PositionedBatches]:
    """Build a loader as mmengine's loops do, and the batches over which it iterates.

    Raises:
        InputError: It has no batch sampler.
    """
    if isinstance(dataloader, dict):
        by_rank = runner._randomness_cfg.get("diff_rank_seed", False)
        loader = runner.build_dataloader(dataloader, runner.seed, by_rank)
    else:
        loader = dataloader
    if loader.batch_sampler is None:
        raise InputError("train_dataloader.batch_size=None: training needs a batch size")
    batches = kind(loader.batch_sampler, runner.seed)
    iterate_by(loader, batches)
    return loader, batches


def share_seed(runner: Runner, batches: PositionedBatches) -> None:
    """Take the seed of the data from a resumed checkpoint, or have it saved with the next one."""
    if runner.iter > 0 and isinstance(runner.message_hub.get_info(DATA_SEED), int):
        batches.seed = runner.message_hub.get_info(DATA_SEED)
    runner.message_hub.update_info(DATA_SEED, batches.seed)


def _later(start: Any) -> Iterator:
    """Start an iterator when its first element is wanted."""
    yield from start()


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
