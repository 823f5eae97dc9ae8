"""Step A with one drawn exit on several processes, as DistributedDataParallel trains it."""

from pathlib import Path
from typing import Any

from helpers.gloo import on_processes


def train_on(world: int, folder: Path, steps: int) -> list[dict[str, Any]]:
    """Return what each process saw: exits, losses, and sums of weights before and after."""
    return on_processes(world, folder, _train, steps, preload=["mmproscale.models.heads"])


def _train(rank: int, steps: int) -> dict[str, Any]:
    import torch
    from helpers.heads import backbone_maps, data_samples, head_config
    from torch.nn.parallel import DistributedDataParallel

    from mmproscale.models.heads import PanopticHead

    config = head_config()
    config.pixel_decoder.encoder.schedule = dict(type="m2f", layers=4)
    config.pixel_decoder.exit_gate = dict(type="ExitGate")
    config.exit_loss = dict(type="mmproscale.MultiExitLoss", exits="sample")
    torch.manual_seed(0)
    head = PanopticHead(**config)
    head.init_weights()
    head.forward = head.loss  # what DistributedDataParallel calls
    parallel = DistributedDataParallel(head)
    optimizer = torch.optim.AdamW([p for p in head.parameters() if p.requires_grad], lr=1e-4)
    before = _weights(head)
    torch.manual_seed(100 + rank)
    exits, totals = [], []
    for step in range(steps):
        losses = parallel(backbone_maps(), data_samples([2, 3], seed=10 * rank + step))
        (exit_,) = {name.partition(".")[0] for name in losses}
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        exits.append(exit_)
        totals.append(total.item())
    return {
        "exits": exits,
        "losses": totals,
        "weights_before": before,
        "weights": _weights(head),
    }


def _weights(head: Any) -> list[float]:
    return [p.double().sum().item() for p in head.parameters()]
