"""A resumed run is the unbroken run: same data, same weights, same log."""

import random
import time

import numpy as np
import pytest
import torch
from helpers.extent import all_or
from helpers.resumed_training import BreakError, Watch, differences, losses, train
from helpers.toy_training import ToyModel, toy_runner
from mmdet.datasets.samplers import AspectRatioBatchSampler  # noqa: F401  (registers it)
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.registry import DATASETS, METRICS
from mmengine.structures import BaseDataElement

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes

pytestmark = pytest.mark.slow
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
    watch = Watch(stop_at)
    runner = toy_runner(work_dir, **settings | options)
    runner.register_hook(watch)
    try:
        runner.train()
    except BreakError:
        assert stop_at is not None
    return watch


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


def test_shapes_of_images_make_the_same_batches(tmp_path):
    options = dict(loader=dict(batch_sampler=dict(type="mmdet.AspectRatioBatchSampler")))
    whole = run(tmp_path / "whole", **options)
    first = run(tmp_path / "broken", stop_at=4, **options)
    second = run(tmp_path / "broken", resume=True, **options)
    assert first.steps + second.steps == whole.steps


def test_a_seed_that_was_drawn_is_resumed(tmp_path):
    first = run(tmp_path, stop_at=4, seed=None)
    second = run(tmp_path, resume=True, seed=None)
    seen = [number for _, ids, _ in (first.steps + second.steps)[:5] for number in ids]
    assert sorted(seen) == list(range(20))


def test_an_epoch_of_another_length_starts_again(tmp_path):
    options = dict(loop="Epoch", sampler=dict(type="DefaultSampler", shuffle=True))
    run(tmp_path, stop_at=4, **options)
    second = run(tmp_path, resume=True, loader=dict(batch_size=5), **options)
    assert [step for step, *_ in second.steps] == list(range(4, 12))


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
