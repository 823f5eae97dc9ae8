"""Training loops whose data continue exactly where a checkpoint was saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from mmproscale.errors import InputError
from mmproscale.registry import LOOPS
from mmproscale.training.positioned_batches import (
    EndlessBatches,
    PositionedBatches,
    iterate_by,
)

DATA_SEED = "data_seed"  # in the message hub, which is saved with a checkpoint


@LOOPS.register_module()
class ResumableIterLoop(IterBasedTrainLoop):
    """mmengine's IterBasedTrainLoop, with its arguments, and data by position.

    Augmentation is seeded by the seed and the position in the sampler's sequence, so that it does
    not depend on the number of workers. A resumed run draws the indices of the batches before it,
    and loads none of them.
    """

    dataloader_iterator: Any

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, **options: Any) -> None:
        loader = built(runner, dataloader)
        self.batches = EndlessBatches(loader.batch_sampler, runner.seed)
        iterate_by(loader, self.batches)
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
        loader = built(runner, dataloader)
        self.batches = PositionedBatches(loader.batch_sampler, runner.seed)
        iterate_by(loader, self.batches)
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


def built(runner: Runner, dataloader: DataLoader | dict) -> DataLoader:
    """Build a loader as mmengine's loops do.

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
    return loader


def share_seed(runner: Runner, batches: PositionedBatches) -> None:
    """Take the seed of the data from a resumed checkpoint, or have it saved with the next one."""
    if runner.iter > 0 and isinstance(runner.message_hub.get_info(DATA_SEED), int):
        batches.seed = runner.message_hub.get_info(DATA_SEED)
    runner.message_hub.update_info(DATA_SEED, batches.seed)


def _later(start: Any) -> Iterator:
    """Start an iterator when its first element is wanted."""
    yield from start()
