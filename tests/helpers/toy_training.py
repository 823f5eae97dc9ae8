"""A model of three numbers, trained by mmengine's own Runner in a blink."""

from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

SCHEDULERS = [
    {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "end": 2},
    {"type": "MultiStepLR", "by_epoch": False, "milestones": [3, 5]},
    {"type": "OneCycleLR", "eta_max": 1e-3, "total_steps": 20, "by_epoch": False},
]


class ToyModel(BaseModel):
    """One linear layer, for mmengine's three modes."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(width, 1)

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "tensor") -> Any:
        out = self.linear(torch.stack(list(inputs)))
        return {"loss": out.square().mean()} if mode == "loss" else list(out)


class ToyDataset(Dataset):
    """Sixteen points, enough for each test: mmengine sleeps two seconds when a set begins again."""

    metainfo = {"classes": ("a", "b"), "palette": [(1, 2, 3), (4, 5, 6)]}  # noqa: RUF012

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict:
        return {"inputs": torch.full((2,), float(index)), "data_samples": torch.zeros(1)}


def toy_runner(work_dir: Path, max_iters: int = 4, **options: Any) -> Runner:
    """A runner that trains the toy model with AdamW, clipping and three schedulers."""
    checkpoint = {"type": "CheckpointHook", "by_epoch": False, "interval": 2}
    settings: dict[str, Any] = {
        "model": ToyModel(),
        "work_dir": str(work_dir),
        "train_dataloader": {
            "dataset": ToyDataset(),
            "batch_size": 2,
            "sampler": {"type": "DefaultSampler", "shuffle": True},
        },
        "train_cfg": {"by_epoch": False, "max_iters": max_iters},
        "optim_wrapper": {
            "type": "OptimWrapper",
            "optimizer": {"type": "AdamW", "lr": 1e-3},
            "clip_grad": {"max_norm": 0.01},
        },
        "param_scheduler": SCHEDULERS,
        "default_hooks": {"checkpoint": options.pop("checkpoint", checkpoint)},
        "log_level": "ERROR",
        # Runners are registered by name, and a name must be new.
        "experiment_name": f"{work_dir.name}_{max_iters}_{id(options)}",
        "default_scope": "mmengine",
    }
    return Runner(**{**settings, **options})
