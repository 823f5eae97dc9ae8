"""Batches begin at any position, in the order of the sampler, and load nothing before it."""

from itertools import islice

import pytest
from mmdet.datasets.samplers import AspectRatioBatchSampler
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler, DataLoader, Dataset

from mmproscale.errors import InputError
from mmproscale.training.positioned_batches import EndlessBatches, PositionedBatches, iterate_by


class Images(Dataset):
    """Images of two shapes that count how often each is loaded and asked about."""

    def __init__(self, size=23):
        self.size, self.loaded, self.asked = size, [], []

    def __len__(self):
        return self.size

    def get_data_info(self, index):
        self.asked.append(index)
        return dict(width=2 + index % 3, height=3, more="text")

    def __getitem__(self, index):
        self.loaded.append(index)
        return index


def batch_sampler(sampler, batches, drop_last=False):
    own = sampler(Images(), shuffle=True, seed=3)
    return batches(own, 4, drop_last)


def indices(batches):
    return [[index for index, _ in batch] for batch in batches]


SAMPLERS = pytest.mark.parametrize("sampler", [DefaultSampler, InfiniteSampler])
BATCHES = pytest.mark.parametrize("kind", [BatchSampler, AspectRatioBatchSampler])


@SAMPLERS
@BATCHES
@pytest.mark.parametrize("skip", [1, 5, 6, 7, 40])
@pytest.mark.parametrize("drop_last", [False, True])
def test_what_is_skipped_is_what_was_done(sampler, kind, skip, drop_last):
    whole = EndlessBatches(batch_sampler(sampler, kind, drop_last), 3)
    expected = list(islice(whole, skip + 20))[skip:]
    rest = EndlessBatches(batch_sampler(sampler, kind, drop_last), 3)
    rest.skip = skip
    assert list(islice(rest, 20)) == expected
    assert not rest.batch_sampler.sampler.dataset.loaded


@SAMPLERS
@BATCHES
def test_the_order_is_that_of_the_batch_sampler(sampler, kind):
    stock = batch_sampler(sampler, kind)
    first = list(islice(stock, 6))
    assert indices(islice(EndlessBatches(batch_sampler(sampler, kind), 3), 6)) == first


def test_each_epoch_has_another_order_and_other_seeds():
    batches = EndlessBatches(batch_sampler(DefaultSampler, BatchSampler), 3)
    items = [item for batch in islice(batches, 12) for item in batch]
    first, second = items[:23], items[23:46]
    assert sorted(i for i, _ in first) == sorted(i for i, _ in second) == list(range(23))
    assert [i for i, _ in first] != [i for i, _ in second]
    assert len({seed for _, seed in items}) == len(items)


def test_positions_count_the_items_of_all_processes(monkeypatch):
    def seeds_of(rank, processes):
        for module in ("mmengine.dataset.sampler", "mmproscale.training.positioned_batches"):
            monkeypatch.setattr(f"{module}.get_dist_info", lambda: (rank, processes))
        sampler = DefaultSampler(Images(24), shuffle=True, seed=3)
        batches = PositionedBatches(BatchSampler(sampler, 4, False), 3)
        return {index: seed for batch in batches for index, seed in batch}

    first, second = seeds_of(0, 2), seeds_of(1, 2)
    assert first | second == seeds_of(0, 1)
    assert len(first) == len(second) == 12


def test_shapes_are_asked_for_once_while_skipping():
    batches = EndlessBatches(batch_sampler(InfiniteSampler, AspectRatioBatchSampler), 3)
    batches.skip = 40
    next(iter(batches))
    asked = batches.batch_sampler.sampler.dataset.asked
    assert len(asked) <= 2 * 23
    assert isinstance(batches.batch_sampler.sampler, InfiniteSampler)


def test_a_seed_is_the_samplers():
    batches = PositionedBatches(batch_sampler(DefaultSampler, BatchSampler), 9)
    assert batches.seed == 3
    batches.seed = 5
    assert batches.batch_sampler.sampler.seed == batches.seed == 5
    without = PositionedBatches(BatchSampler(range(4), 2, False), 9)
    assert without.seed == 9
    without.seed = 2
    assert without.seed == 2


def test_no_batch_is_one_line():
    batches = EndlessBatches(BatchSampler(range(3), 4, True), 0)
    with pytest.raises(InputError, match="3 images for each process, and not one batch"):
        next(iter(batches))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_keeps_its_attributes_and_loads_the_rest_only(workers):
    dataset = Images()
    sampler = DefaultSampler(dataset, shuffle=False)
    loader = DataLoader(dataset, 4, sampler=sampler, num_workers=workers)
    batches = PositionedBatches(loader.batch_sampler, 0)
    iterate_by(loader, batches)
    batches.skip = 4
    assert [batch.tolist() for batch in loader] == [[16, 17, 18, 19], [20, 21, 22]]
    assert [batch.tolist()[0] for batch in loader] == [0, 4, 8, 12, 16, 20]
    assert (loader.dataset, loader.sampler, loader.batch_size) == (dataset, sampler, 4)
    assert dataset.loaded[:7] == ([] if workers else list(range(16, 23)))
