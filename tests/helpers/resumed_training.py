"""A small PRO-SCALE trained on Shapes, unbroken, or broken off and resumed."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.training.runs import build_runner
from mmproscale.utils.config import load_config

CONFIG = Path(__file__).parents[2] / "configs" / "proscale_m2f_r18_shapes.py"
AUGMENTED = [
    dict(type="mmproscale.LoadImage"),
    dict(type="mmproscale.LoadPanoptic"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="RandomResize", scale=(64, 64), ratio_range=(0.7, 1.4), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(48, 48), allow_negative_crop=True),
    dict(type="PackDetInputs"),
]


class BreakError(Exception):
    """Ends a run as a kill would, between two steps."""


class Watch(Hook):
    """Hook that records each step's images, and breaks off a run."""

    priority = "LOWEST"

    def __init__(self, stop_at: int | None) -> None:
        self.stop_at, self.steps, self.first_step_at = stop_at, [], None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.first_step_at = self.first_step_at or time.monotonic()
        if runner.iter == self.stop_at:
            raise BreakError
        pixels = b"".join(image.numpy().tobytes() for image in data_batch["inputs"])
        ids = [sample.img_id for sample in data_batch["data_samples"]]
        self.steps.append((runner.iter, ids, hashlib.sha256(pixels).hexdigest()))


def train(
    data: Path, work_dir: Path, stop_at: int | None = None, resume: bool = False, **changes: Any
) -> Watch:
    """Train to ``max_iters``, or to where it is broken off; return what it saw."""
    settings = {
        "data_root": f"{data}/",
        "train_cfg.max_iters": 4,
        "train_cfg.val_interval": 2,
        "train_dataloader.batch_size": 2,
        "train_dataloader.dataset.pipeline": AUGMENTED,
        "val_dataloader.num_workers": 0,
        "val_dataloader.persistent_workers": False,
        "default_hooks.checkpoint.interval": 2,
        "default_hooks.checkpoint.max_keep_ckpts": 3,
        "default_hooks.checkpoint.save_best": "universal/PQ",
        "default_hooks.checkpoint.rule": "greater",
        "default_hooks.logger.interval": 1,
        "model.train_cfg.num_points": 64,
        "log_level": "WARNING",
    }
    config = load_config(CONFIG, settings | changes)
    workers = config.train_dataloader.num_workers
    config.train_dataloader.persistent_workers = workers > 0
    config.custom_hooks = [*config.custom_hooks, dict(type="EMAHook", momentum=0.1)]
    config.work_dir, config.resume = str(work_dir), resume
    config.experiment_name = f"{work_dir.name}_{resume}_{time.monotonic_ns()}"
    config.visualizer.name = config.experiment_name  # its logs would go to the first run's folder
    return watched(build_runner(config), stop_at)


def watched(runner: Runner, stop_at: int | None) -> Watch:
    """Run a training to its end, or to where it is broken off; return what was seen."""
    watch = Watch(stop_at)
    runner.register_hook(watch)
    try:
        runner.train()
    except BreakError:
        assert stop_at is not None
    return watch


def losses(work_dir: Path) -> dict[int, dict[str, float]]:
    """Return the losses and rates of each step in the logs; a later run's count."""
    found: dict[int, dict[str, float]] = {}
    for file in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in map(json.loads, file.read_text().splitlines()):
            if "loss" in line:
                kept = {k: v for k, v in line.items() if "loss" in k or k in ("lr", "grad_norm")}
                found[line["iter"]] = kept
    return found


def differences(first: Path, second: Path) -> list[str]:
    """Return the tensors of weights, averages, optimizer and random states that are not equal."""
    one, two = (_tensors("", load_checkpoint(path)) for path in (first, second))
    assert one.keys() == two.keys()
    return [name for name in one if not torch.equal(one[name], two[name])]


def _tensors(name: str, content: Any) -> dict[str, torch.Tensor]:
    if isinstance(content, torch.Tensor):
        return {name: content}
    items = content.items() if isinstance(content, dict) else ()
    items = enumerate(content) if isinstance(content, list) else items
    return {k: v for key, part in items for k, v in _tensors(f"{name}.{key}", part).items()}
