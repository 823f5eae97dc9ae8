"""The same four images on one process, or two on each of two, with the same points."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from helpers.families import BUILDERS
from helpers.gloo import on_processes
from helpers.heads import data_samples
from helpers.semantic import semantic_samples
from helpers.tiny_detectors import batch
from mmengine.model import convert_sync_batchnorm
from torch import Tensor, nn

STEPS = {"PRO-SCALE": 10, "PEM": 10}
Tensors = dict[str, Tensor]


def train_split(world: int, folder: Path) -> dict[str, tuple[Tensors, Tensors, Tensors]]:
    """Take SGD steps; return each family's first gradients, and weights before and after."""
    preload = ["mmproscale.models.heads", "mmproscale.models.detectors"]
    done = on_processes(world, folder, _train_families, world, str(folder), preload=preload)
    assert None not in done, "a process failed"
    return {name: torch.load(folder / f"{name}.pt") for name in BUILDERS}


def _train_families(rank: int, world: int, folder: str) -> bool:
    draw_the_same()
    for name in BUILDERS:
        result = _train(name, rank, world)
        if rank == 0:
            torch.save(result, f"{folder}/{name}.pt")
    return True


def _train(name: str, rank: int, world: int) -> tuple[Tensors, Tensors, Tensors]:
    from mmproscale.training.parallel import CPUDistributedDataParallel

    torch.manual_seed(0)
    # fp32 rounds differently when sums are split, and masks of attention multiply the difference.
    model = without_dropout(BUILDERS[name]()).to(torch.float64 if is_segmentor(name) else None)
    images, samples = four_images(name)
    images = images.to(next(model.parameters()).dtype)
    parallel = CPUDistributedDataParallel(convert_sync_batchnorm(model), broadcast_buffers=False)
    parallel.train()
    share = slice(rank * 4 // world, (rank + 1) * 4 // world)
    before = weights(parallel.module)
    trained = {k: p for k, p in parallel.module.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(trained.values(), lr=1e-4)
    first: Tensors = {}
    for _ in range(STEPS.get(name, 1)):
        losses = parallel(images[share], copy.deepcopy(samples[share]), mode="loss")
        optimizer.zero_grad()
        model.parse_losses(losses)[0].backward()
        first = first or {key: value.grad.clone() for key, value in trained.items()}
        optimizer.step()
    return first, before, weights(parallel.module)


def is_segmentor(name: str) -> bool:
    return not name.startswith(("DETR", "DINO", "DDQ", "Deformable"))


def draw_the_same() -> None:
    """Give equal images equal points, in a batch of any size: each draw of a shape is the same."""
    draw = torch.rand

    def same(*size: Any, **options: Any) -> Tensor:
        return draw(*size, generator=torch.Generator().manual_seed(1), **options)

    torch.rand = same
    # Noise of DINO's queries.
    torch.rand_like = lambda like, **_: torch.full_like(like, 0.3)
    torch.randint_like = lambda like, *_, **__: torch.full_like(like, 1)


def without_dropout(model: nn.Module) -> nn.Module:
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(part, nn.MultiheadAttention):
            part.dropout = 0.0
    return model


def four_images(name: str) -> tuple[Tensor, list[Any]]:
    """Return images of one size; the first two have as many objects as the others."""
    torch.manual_seed(5)
    if not is_segmentor(name):
        return batch(((96, 96),) * 4)
    images = torch.randn(4, 3, 64, 64)
    if name.endswith("semantic"):
        return images, semantic_samples([(0, 4), (1, 2), (0, 3), (1, 4)])
    return images, data_samples([3, 2, 1, 4])


def weights(model: nn.Module) -> Tensors:
    return {key: value.detach().double().clone() for key, value in model.state_dict().items()}


def relative_difference(first: Tensors, second: Tensors) -> float:
    """Return the norm of the difference of two sets of tensors over the norm of the first."""
    # DDQ's decoder shares layers only after its first step.
    one, other = (torch.cat([v[key].double().flatten() for key in first]) for v in (first, second))
    return ((one - other).norm() / one.norm()).item()
