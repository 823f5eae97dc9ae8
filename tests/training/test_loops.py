"""A resumed run is the unbroken run: same data, same weights, same log.

Its batches begin at any position, and nothing before it is loaded.
"""

import random
import time
from itertools import islice

import numpy as np
import pytest
import torch
from helpers.extent import all_or
from helpers.resumed_training import differences, losses, train, watched
from helpers.toy_training import ToyModel, toy_runner
from mmdet.datasets.samplers import AspectRatioBatchSampler
from mmengine.dataset import BaseDataset, DefaultSampler, InfiniteSampler
from mmengine.evaluator import BaseMetric
from mmengine.registry import DATASETS, METRICS
from mmengine.structures import BaseDataElement
from torch.utils.data import BatchSampler, DataLoader, Dataset

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes
from mmproscale.errors import InputError
from mmproscale.training.loops import EndlessBatches, PositionedBatches, iterate_by

HOOKS = [
    dict(type="mmproscale.ResumeHook"),
    dict(type="EMAHook", momentum=0.1),
    dict(type="mmproscale.FiniteNumbersHook"),
]
WORKERS = (0, 2, 3)


class RandomModel(ToyModel):
    """A model that draws from every generator in each step."""

    def forward(self, inputs, data_samples=None, mode="tensor"):
        noise = random.random() + np.random.rand() + torch.rand(()).item()
        inputs = [x.float() + noise for x in inputs]
        return super().forward(inputs, data_samples, mode)


@DATASETS.register_module()
class RandomPoints(BaseDataset):
    """Points with augmentation by every generator, and the shapes of images."""

    METAINFO = dict(classes=("a", "b"))  # noqa: RUF012

    def __init__(self, size=20, **options):
        self.size = size
        super().__init__(pipeline=[], **options)

    def load_data_list(self):
        return [dict(number=n, width=3 + n % 3, height=4) for n in range(self.size)]

    def prepare_data(self, idx):
        number = self.get_data_info(idx)["number"]
        noise = random.random() + np.random.rand() + torch.rand(()).item()
        sample = BaseDataElement(metainfo=dict(img_id=number))
        return dict(inputs=torch.tensor([number / 20, noise]), data_samples=sample)


@METRICS.register_module()
class RandomMetric(BaseMetric):
    """A metric that draws random numbers."""

    def process(self, data_batch, data_samples):
        self.results.append(random.random() + torch.rand(()).item())

    def compute_metrics(self, results):
        return {"figure": random.random()}


def run(work_dir, stop_at=None, resume=False, loop="Iter", workers=0, seed=5, **options):
    """Train 8 steps of 4 points of 20, with a checkpoint after each step."""
    torch.manual_seed(0)
    length = dict(max_iters=8, val_interval=3) if loop == "Iter" else dict(max_epochs=2)
    sampler = options.pop("sampler", dict(type="InfiniteSampler", shuffle=True))
    loader = dict(
        dataset=dict(type="RandomPoints"),
        batch_size=4,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    checkpoint = dict(type="mmproscale.AtomicCheckpointHook", by_epoch=False, interval=1)
    checkpoint |= dict(save_best="figure", rule="greater")
    settings = dict(
        model=RandomModel(),
        train_cfg=dict(type=f"mmproscale.Resumable{loop}Loop", **length),
        train_dataloader=loader | options.pop("loader", {}),
        val_dataloader=loader | dict(sampler=dict(type="DefaultSampler", shuffle=False)),
        val_cfg={},
        val_evaluator=dict(type="RandomMetric"),
        custom_hooks=HOOKS,
        checkpoint=checkpoint,
        randomness=dict(seed=seed),
        experiment_name=f"{work_dir.name}_{resume}_{time.monotonic_ns()}",
        resume=resume,
    )
    return watched(toy_runner(work_dir, **settings | options), stop_at)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loop", "sampler", "workers", "stops"),
    [
        ("Iter", "InfiniteSampler", 2, (3,)),
        ("Iter", "DefaultSampler", 0, (6,)),
        ("Epoch", "DefaultSampler", 2, (4,)),
        ("Epoch", "DefaultSampler", 0, (5, 8)),
    ],
)
def test_a_broken_run_continues_as_the_unbroken_one(tmp_path, loop, sampler, workers, stops):
    options = dict(loop=loop, sampler=dict(type=sampler, shuffle=True))
    whole = run(tmp_path / "whole", **options)
    last = whole.steps[-1][0] + 1
    for stop in stops:
        folder = tmp_path / str(stop)
        first = run(folder, stop_at=stop, workers=workers, **options)
        second = run(folder, resume=True, workers=workers, **options)
        assert first.steps + second.steps == whole.steps
        assert not differences(tmp_path / "whole" / f"iter_{last}.pth", folder / f"iter_{last}.pth")


@pytest.mark.slow
def test_shapes_of_images_make_the_same_batches(tmp_path):
    options = dict(loader=dict(batch_sampler=dict(type="mmdet.AspectRatioBatchSampler")))
    whole = run(tmp_path / "whole", **options)
    first = run(tmp_path / "broken", stop_at=4, **options)
    second = run(tmp_path / "broken", resume=True, **options)
    assert first.steps + second.steps == whole.steps


@pytest.mark.slow
def test_a_seed_that_was_drawn_is_resumed(tmp_path):
    first = run(tmp_path, stop_at=4, seed=None)
    second = run(tmp_path, resume=True, seed=None)
    seen = [number for _, ids, _ in (first.steps + second.steps)[:5] for number in ids]
    assert sorted(seen) == list(range(20))


@pytest.mark.slow
def test_an_epoch_of_another_length_starts_again(tmp_path):
    options = dict(loop="Epoch", sampler=dict(type="DefaultSampler", shuffle=True))
    run(tmp_path, stop_at=4, **options)
    second = run(tmp_path, resume=True, loader=dict(batch_size=5), **options)
    assert [step for step, *_ in second.steps] == list(range(4, 12))


@pytest.mark.slow
def test_nothing_is_loaded_before_the_first_step_of_step_20000(tmp_path):
    """Position and time of a resume far into a large data set."""
    big = dict(
        dataset=dict(type="RandomPoints", size=118_000),
        batch_sampler=dict(type="mmdet.AspectRatioBatchSampler"),
    )
    options = dict(
        loader=big, train_cfg=dict(type="mmproscale.ResumableIterLoop", max_iters=20_001)
    )
    for name in ("val_dataloader", "val_cfg", "val_evaluator"):
        options[name] = None
    checkpoint = dict(type="mmproscale.AtomicCheckpointHook", by_epoch=False, interval=1)
    options |= dict(checkpoint=checkpoint, param_scheduler=None)
    run(tmp_path, stop_at=1, **options)
    content = torch.load(tmp_path / "iter_1.pth", weights_only=False)
    content["meta"]["iter"] = 20_000
    torch.save(content, tmp_path / "iter_1.pth")
    start = time.monotonic()
    watch = run(tmp_path, resume=True, **options)
    seconds = watch.first_step_at - start
    assert [step for step, *_ in watch.steps] == [20_000]
    print(f"a resume at step 20,000 of 118,000 images starts in {seconds:.1f} s")
    assert seconds < 10


@pytest.mark.slow
def test_resume_against_uninterrupted(tmp_path):
    data = tmp_path / "shapes"
    make_shapes(data, ShapesSpec(train=8, val=2, size=64))
    whole = train(data, tmp_path / "whole", **{"train_dataloader.num_workers": 0})
    assert [step for step, *_ in whole.steps] == list(range(4))
    for workers in all_or((2,), WORKERS):
        folder, options = tmp_path / str(workers), {"train_dataloader.num_workers": workers}
        first = train(data, folder, stop_at=2, **options)
        second = train(data, folder, resume=True, **options)
        seen = first.steps + second.steps
        assert seen == whole.steps, f"{workers} workers"
        assert not differences(tmp_path / "whole" / "iter_4.pth", folder / "iter_4.pth")
        assert losses(folder) == losses(tmp_path / "whole")
        assert {"ema_state_dict", "optimizer"} <= load_checkpoint(folder / "iter_4.pth").keys()
        print(
            f"resume against uninterrupted on a CPU, with EMA, with {workers} workers: bit-equal; "
            f"{len(seen) - len({s[0] for s in seen})} repeated, {4 - len(seen)} skipped"
        )


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
        for module in ("mmengine.dataset.sampler", "mmproscale.training.loops"):
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
