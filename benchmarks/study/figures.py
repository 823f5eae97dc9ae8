"""Figures of a study: each run's quality, curve, cost and environment, and all models' latency."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from runs import Run

from mmproscale.compat.installed_packages import installed_version
from mmproscale.cost.model_cost import build_network, model_cost
from mmproscale.cost.random_model import model_without_weights, random_model
from mmproscale.timing.comparison import Case, Prepared, compare
from mmproscale.timing.conditions import describe_machine
from mmproscale.timing.model_latency import random_inputs, timed_prediction
from mmproscale.training.learning_curve import read_learning_curve
from mmproscale.utils.config import load_config
from mmproscale.version import __version__

# Place in metrics.json of each figure.
QUALITY = {
    "PQ": ("all", "pq"),
    "PQ things": ("things", "pq"),
    "PQ stuff": ("stuff", "pq"),
    "mIoU": ("semantic", "miou"),
    "AP": ("instance", "ap"),
}
PACKAGES = ("torch", "mmcv", "mmdet", "mmengine", "timm")


def collect(run: Run, metrics_file: Path) -> dict[str, Any]:
    """Return all that is kept of a finished run.

    Args:
        run: The run.
        metrics_file: ``metrics.json`` of ``tools/test.py``, with shares of 1.

    Returns:
        What the run was, its environment, its quality in percent, the logged losses and PQ by
        iteration, and the seconds of a training step.
    """
    metrics = json.loads(metrics_file.read_text(encoding="utf-8"))
    curve = read_learning_curve(run.training)
    return {
        "model": run.model,
        "label": run.label,
        "config": run.config,
        "options": dict(run.options),
        "seed": run.seed,
        "environment": environment(),
        "quality": {name: 100 * metrics[group][key] for name, (group, key) in QUALITY.items()},
        "curve": {"loss": curve.loss, **curve.quality},
        "seconds_per_step": seconds_per_step(run.training),
    }


def environment() -> dict[str, Any]:
    """Return machine, versions and date."""
    return {
        "machine": describe_machine(),
        "mmproscale": __version__,
        **{package: installed_version(package) for package in PACKAGES},
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def seconds_per_step(folder: Path) -> float:
    """Return the mean duration of a training step over the logged windows of all starts."""
    logs = folder.glob("*/vis_data/scalars.json")
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    return fmean(line["time"] for line in lines if "loss" in line)


def results_of(study: Mapping[str, Any], runs: Sequence[Run], rounds: int) -> dict[str, Any]:
    """Return the figures of finished runs, and cost and latency of their models.

    Latency is measured here, on images of the study's size, all models in turns.
    """
    first = {run.model: run for run in reversed(runs)}
    models = {name: first[name] for name in study["models"] if name in first}
    size = tuple(study["size"])
    costs = {
        name: model_cost(build_network(load_config(run.config_file)), size)
        for name, run in models.items()
    }
    return {
        "title": study["title"],
        "steps": study["steps"],
        "size": list(size),
        "runs": [json.loads(run.figures_file.read_text(encoding="utf-8")) for run in runs],
        "models": {
            name: {
                "label": run.label,
                "gmacs": costs[name].total / 1e9,
                "pixel_decoder_gmacs": costs[name].pixel_decoder / 1e9,
                "parameters": costs[name].params,
            }
            for name, run in models.items()
        },
        "latency": latency(models, size, rounds),
        "claims": study.get("claims", []),
        "missing": [name for name in study["models"] if name not in first],
    }


def latency(models: Mapping[str, Run], size: tuple[int, int], rounds: int) -> dict[str, Any]:
    """Return the milliseconds of a prediction of one image, with random weights."""
    case = Case(
        name="{}x{}".format(*size),
        settings={"size": list(size)},
        candidates={
            run.label: partial(prepare, load_config(run.config_file), size)
            for run in models.values()
        },
    )
    options = Namespace(rounds=rounds, warm_up=1, device="cpu", no_memory=True)
    (measured,) = compare([case], options, __file__, [])
    return {"environment": environment(), **measured}


def prepare(config: Any, size: tuple[int, int]) -> Prepared:
    """Return a model with random weights and a random image."""
    model = random_model(model_without_weights(config), config.get("default_scope")).eval()
    run = partial(timed_prediction, model, *random_inputs(model, size))
    return Prepared(run=run, warm_up=run)
