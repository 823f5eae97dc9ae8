"""Batch norms of four maps, on one process or on two that share them unequally."""

import torch

from mmproscale.training.parallel import CPUDistributedDataParallel

SHARES = (slice(0, 1), slice(1, 4))


def normalised(norm: torch.nn.Module, images: torch.Tensor) -> list:
    """Outputs, running statistics, and gradients of a loss that mixes all images."""
    images = images.clone().requires_grad_()
    out = norm.train()(images)
    (out**3).sum().backward()
    norm.eval()
    tensors = (out, norm.running_mean, norm.running_var, images.grad, norm(images))
    return [tensor.tolist() for tensor in tensors]


def four_maps() -> torch.Tensor:
    torch.manual_seed(0)
    return 5 + 3 * torch.randn(4, 2, 3, 5, dtype=torch.float64)


def batch_norm(norm: type, **options) -> torch.nn.Module:
    module = norm(2, **options).double()
    if module.affine:
        torch.nn.init.constant_(module.weight, 1.5)
    return module


def normalise_a_share(rank: int, kinds: list[dict]) -> list[list]:
    return [_normalise(four_maps()[SHARES[rank]], options) for options in kinds]


def _normalise(images: torch.Tensor, options: dict) -> list:
    norm = batch_norm(torch.nn.SyncBatchNorm, **options)
    # The wrapper needs a parameter.
    parts = torch.nn.Sequential(norm, torch.nn.Linear(5, 5).double())
    return normalised(CPUDistributedDataParallel(parts).module[0], images)
