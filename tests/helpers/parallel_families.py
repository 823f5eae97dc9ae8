"""Every family, and every option that leaves a part unused, trained by two processes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.gloo import on_processes
from torch import nn

STEPS = 2
SAMPLED = dict(type="mmproscale.MultiExitLoss", exits="sample")
ALL = dict(type="mmproscale.MultiExitLoss")
GATE = dict(type="ExitGate")


def cases() -> dict[str, Callable[[], nn.Module]]:
    """Return name -> function that builds a model."""
    from helpers.early_exit_detectors import NAMES, early_exit
    from helpers.families import BUILDERS, panoptic

    def m2f(config: str = "m2f", **options: Any) -> Callable[[], nn.Module]:
        options = {f"panoptic_head.{key}": value for key, value in options.items()}
        return lambda: panoptic(config, **options)

    def detector(name: str, **options: Any) -> Callable[[], nn.Module]:
        return lambda: early_exit(name, **options)

    layers = "transformer_decoder.num_layers"
    read = "transformer_decoder.layer_cfg.cross_attn_cfg.prototypes"
    decoder = "pixel_decoder."
    coarse = "pixel_decoder.encoder.schedule.coarse_layers"
    segmentors = {
        "projections, 1 layer": m2f(enforce_decoder_input_project=True, **{layers: 1}),
        "projections, no layer": m2f(enforce_decoder_input_project=True, **{layers: 0}),
        "PEM, 1 layer": m2f("pem_m2f", **{layers: 1}),
        "PEM, no layer": m2f("pem_m2f", **{layers: 0}),
        "PEM, sums": m2f("pem_m2f", **{read: "sum"}),
        "PEM, any token": m2f("pem_m2f", **{read: "any"}),
        "PEM, plain": m2f("pem_m2f", **{decoder + "modulation": None, decoder + "conv_cfg": None}),
        "idle gate": m2f(**{decoder + "exit_gate": GATE}),
        "early exits": m2f(**{decoder + "exits": (1, 2)}),
        "one early exit": m2f("proscale_m2f", **{decoder + "exits": (3,)}),
        "lite, early exits": m2f("lite_m2f", **{decoder + "exits": (2, 3), coarse: 4}),
        "all exits": m2f(exit_loss=ALL, **{decoder + "exit_gate": GATE}),
        "a drawn exit": m2f(exit_loss=SAMPLED, **{decoder + "exit_gate": GATE}),
        "all early exits": m2f(exit_loss=ALL, **{decoder + "exits": (1, 2)}),
        "lite, a drawn exit": m2f("lite_m2f", exit_loss=SAMPLED, **{coarse: 4}),
        "checkpointed": m2f(exit_loss=ALL | dict(with_cp=True)),
    }
    detectors = {}
    for name in NAMES:
        detectors |= {
            f"{name}, a drawn exit": detector(name, exit_loss=SAMPLED),
            f"{name}, early exits": detector(name, exits=(2, 3)),
            f"{name}, checkpointed": detector(name, exit_loss=ALL | dict(with_cp=True)),
        }
    return BUILDERS | segmentors | detectors


def train_all(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Train every case on two processes; return for each what the processes saw."""
    preload = ["mmproscale.models.heads", "mmproscale.models.detectors"]
    first, second = on_processes(2, folder, _train_cases, preload=preload)
    return {name: [first[name], second[name]] for name in first}


def _train_cases(rank: int) -> dict[str, dict[str, Any]]:
    import torch

    seen = {}
    for name, build in cases().items():
        torch.manual_seed(0)
        try:
            seen[name] = _train(build(), rank)
        except Exception as failure:
            seen[name] = dict(unused=[], error=repr(failure), weights=[], changed=False)
        if seen[name]["error"]:  # the processes are out of step
            break
    return seen


def _train(model: nn.Module, rank: int) -> dict[str, Any]:
    """Take two steps as mmengine's loop does; in the second one process has no objects."""
    from helpers.families import inputs_of
    from mmengine.optim import build_optim_wrapper

    from mmproscale.training.parallel import CPUDistributedDataParallel

    config = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-4))
    parallel = CPUDistributedDataParallel(model.train())
    wrapper = build_optim_wrapper(model, config)
    before, unused, error = _weights(model), set(), ""
    try:
        for step in range(STEPS):
            images, samples = inputs_of(model, seed=10 * rank + step)
            if (rank, step) == (1, 1):
                remove_objects(samples)
            with wrapper.optim_context(parallel):
                losses = parallel(images, samples, mode="loss")
            total, _ = model.parse_losses(losses)
            total.backward()
            unused |= {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
            wrapper.step()
            wrapper.zero_grad()
    except RuntimeError as failure:
        error = str(failure)
    after = _weights(model)
    return dict(unused=sorted(unused), error=error, weights=after, changed=after != before)


def remove_objects(samples: list[Any]) -> None:
    """Leave no object and no stuff in data samples; a semantic map becomes void."""
    for sample in samples:
        if "gt_instances" in sample:
            sample.gt_instances = sample.gt_instances[:0]
        if "gt_sem_seg" in sample:
            for labels in sample.gt_sem_seg.values():
                labels.fill_(255)


def _weights(model: nn.Module) -> list[float]:
    return [p.double().sum().item() for p in model.parameters()]
