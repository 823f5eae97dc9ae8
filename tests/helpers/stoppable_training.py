"""Training of the toy model that says what it does, so that a test knows when to send a signal."""

import json
import time
from pathlib import Path

import torch
from helpers.toy_training import SCHEDULERS, ToyDataset, toy_runner
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import METRICS

import mmproscale.training  # noqa: F401
from mmproscale.utils.processes import join_processes, launcher_of

DEFAULTS = dict(steps=1000, workers=0, pause=0.02, resume=False, accumulate=1)
DEFAULTS |= dict(val_interval=None, epochs=None, first_waits=0)


class Narrator(Hook):
    """Says aloud what has been done, before the hook that stops."""

    priority = "VERY_LOW"

    def __init__(self, pause: float, first_waits: float) -> None:
        self.pause, self.first_waits = pause, first_waits

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        print(f"step {runner.iter + 1}", flush=True)
        time.sleep(self.pause)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        print(f"batch {batch_idx}", flush=True)
        time.sleep(self.first_waits if is_main_process() and self.first_waits else self.pause)


@METRICS.register_module()
class Zero(BaseMetric):
    """A metric that is always 0."""

    def process(self, data_batch, data_samples) -> None:
        self.results.append(0)

    def compute_metrics(self, results) -> dict[str, float]:
        return {"zero": 0.0}


def loader(workers: int) -> dict:
    """Images in their order, so that a resumed run can equal an unbroken one."""
    sampler = {"type": "DefaultSampler", "shuffle": False}
    return {
        "dataset": ToyDataset(),
        "batch_size": 2,
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "sampler": sampler,
    }


def train(work_dir: str, options: str) -> None:
    """Train as a command does, with the options of a JSON."""
    given = {**DEFAULTS, **json.loads(options)}
    by_epoch = given["epochs"] is not None
    train_cfg = {"by_epoch": False, "max_iters": given["steps"]}
    if by_epoch:
        train_cfg = {"type": "mmproscale.ResumableEpochLoop", "max_epochs": given["epochs"]}
    settings = {
        "checkpoint": {"type": "mmproscale.AtomicCheckpointHook", "by_epoch": by_epoch},
        "custom_hooks": [
            {"type": "EMAHook"},
            {"type": "mmproscale.ResumeHook"},
            Narrator(given["pause"], given["first_waits"]),
            {"type": "mmproscale.StopHook"},
        ],
        "train_dataloader": loader(given["workers"]),
        "optim_wrapper": {
            "type": "OptimWrapper",
            "optimizer": {"type": "AdamW", "lr": 1e-3},
            "accumulative_counts": given["accumulate"],
        },
        "train_cfg": train_cfg,
        "param_scheduler": SCHEDULERS[:2],
        "resume": given["resume"],
    }
    settings["checkpoint"]["interval"] = 1000
    if given["val_interval"]:
        train_cfg["val_interval"] = given["val_interval"]
        settings |= {"val_dataloader": loader(0), "val_cfg": {}, "val_evaluator": {"type": "Zero"}}
    torch.manual_seed(0)
    join_processes(launcher_of("none"), "gloo")
    toy_runner(Path(work_dir), given["steps"], **settings).train()
    print("after training", flush=True)
