"""From a config to mmengine's Runner, with what can be checked before hours are spent."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmproscale.compat import describe_stack
from mmproscale.errors import InputError
from mmproscale.evaluation.mean_iou import keep_class_figures
from mmproscale.inference.result_kinds import give_kinds
from mmproscale.utils.atomic_files import atomic_write_text, ensure_writable_dir
from mmproscale.utils.json_values import nan_to_null
from mmproscale.version import __version__


def set_up_run(
    config: Config, config_path: str | os.PathLike, work_dir: str | None, launcher: str = "none"
) -> None:
    """Fill in what a command line decides: the work dir, the launcher.

    Args:
        config: Changed in place.
        config_path: The config's file; it names the default work dir, ``work_dirs/NAME``.
        work_dir: The work dir, or None for the config's own or the default.

    Raises:
        InputError: The work dir can't be written; a launcher, and no GPU.
    """
    if launcher != "none" and get_device() == "cpu":
        raise InputError(f"--launcher {launcher} needs GPUs, and PyTorch finds none here")
    default = config.get("work_dir") or str(Path("work_dirs") / Path(config_path).stem)
    config.work_dir = str(ensure_writable_dir(work_dir or default))
    config.launcher = launcher


def use_amp(config: Config) -> None:
    """Train in mixed precision; InputError where there is no GPU to do it on."""
    if get_device() == "cpu":
        raise InputError("--amp needs a GPU, and PyTorch finds none here: leave it out")
    config.optim_wrapper.type = "AmpOptimWrapper"
    config.optim_wrapper.loss_scale = "dynamic"


def scale_learning_rate(config: Config) -> None:
    """Scale the learning rate to the batch over all GPUs; InputError without a base batch size."""
    if "base_batch_size" not in config.get("auto_scale_lr", {}):
        raise InputError("--auto-scale-lr needs auto_scale_lr.base_batch_size in the config")
    config.auto_scale_lr.enable = True


def keep_predictions(config: Config, prefix: str) -> None:
    """Have a config's metrics write predictions.

    Panoptic ones go to ``PREFIX.panoptic.json`` and its PNGs, label maps of mmseg's metric to PNGs
    in ``PREFIX.semantic``, boxes of mmdet's to ``PREFIX.bbox.json``.

    Raises:
        InputError: The config has no metric that does.
    """
    keeping = ("UniversalSegMetric", "CocoPanopticMetric")
    panoptic = [e for e in _evaluators(config) if e.type.endswith(keeping)]
    semantic = [e for e in _evaluators(config) if e.type.endswith("IoUMetric")]
    boxes = [e for e in _evaluators(config) if e.type.endswith("CocoMetric")]
    if not panoptic + semantic + boxes:
        raise InputError(
            "--out keeps panoptic predictions, label maps or boxes, and test_evaluator has no "
            "metric that writes them"
        )
    for evaluator in boxes:
        ensure_writable_dir(Path(prefix).parent)
        evaluator.outfile_prefix = prefix
    for evaluator in panoptic:
        ensure_writable_dir(f"{prefix}.panoptic")
        evaluator.outfile_prefix = prefix
    for evaluator in semantic:
        evaluator.output_dir = str(ensure_writable_dir(f"{prefix}.semantic"))


def ask_for(config: Config, kinds: Sequence[str], instances_file: str | None = None) -> None:
    """Have the model give, and the metric score, some kinds of results, all from one forward pass.

    Args:
        config: Changed in place.
        kinds: Of ``'panoptic'``, ``'semantic'`` and ``'instance'``.
        instances_file: COCO instances JSON for AP, if not the config's own; without either, AP is
            against the panoptic things.

    Raises:
        InputError: The config's metric is not ours, or its fusion head has no semantic results.
    """
    metrics = [e for e in _evaluators(config) if e.type.endswith("UniversalSegMetric")]
    if not metrics:
        raise InputError("--kinds needs mmproscale.UniversalSegMetric as test_evaluator")
    give_kinds(config, kinds)
    for metric in metrics:
        metric.kinds = tuple(kinds)
        if instances_file:
            metric.instances_file = instances_file


def list_classes(config: Config) -> None:
    """Have the metrics of a config that show a table list every class in it."""
    for evaluator in _evaluators(config):
        if evaluator.type.endswith(("UniversalSegMetric", "CocoMetric")):
            evaluator.classwise = True


def report_exits(config: Config) -> None:
    """Where images may leave the encoder early, have the test say where they do and what it costs.

    Args:
        config: Changed in place.
    """
    model = config.model
    head = model.get("panoptic_head") or model.get("decode_head")
    holder = model if head is None else head.get("pixel_decoder") or {}
    if not holder.get("exit_gate") and not holder.get("exit"):
        return
    # A copy: mmdet's DETRHead writes into the config that it is built from.
    metric = dict(type="mmproscale.EncoderExitMetric", model=copy.deepcopy(model))
    config.test_evaluator = [*_evaluators(config), metric]


def evaluate_and_report(runner: Runner, path: str | os.PathLike) -> None:
    """Test, and write all figures as JSON.

    Those of our metric and of mmseg's IoUMetric are in 0..1 and by class, too; those of another
    are as it returns them; costs are in GMACs.

    Args:
        runner: Of a config that tests.
        path: The file, which the main process writes.
    """
    metrics = runner.test_loop.evaluator.metrics
    for metric in metrics:
        keep_class_figures(metric)
    figures = runner.test()
    reports = [metric.report for metric in metrics if hasattr(metric, "report")]
    if len(reports) < len(metrics):
        reports.append(figures)
    if is_main_process():
        merged = {key: value for report in reversed(reports) for key, value in report.items()}
        atomic_write_text(path, json.dumps(nan_to_null(merged), indent=1, default=float) + "\n")


def _evaluators(config: Config) -> list:
    evaluators = config.test_evaluator
    return evaluators if isinstance(evaluators, list) else [evaluators]


def build_runner(config: Config) -> Runner:
    """The Runner of a config, of its own ``runner_type`` where it names one.

    Stock configs get the hooks of ours: what checks classes and checkpoints, what saves safely.

    Raises:
        InputError: The config names a type that nobody registers, or an argument that it lacks.
    """
    _add_hooks(config)
    try:
        runner = _build(config)
    except (KeyError, TypeError) as error:
        # A KeyError puts its message in quotes.
        message = " ".join(str(error.args[0] if error.args else error).split())
        if not re.search("is not in the .* registry|keyword argument|required positional", message):
            raise
        raise InputError(f"the config does not fit: {message.split('. Please')[0]}") from error
    runner.logger.info(f"mmproscale {__version__} on {describe_stack()}")
    return runner


def _add_hooks(config: Config) -> None:
    hooks = list(config.get("custom_hooks") or [])
    present = {str(hook["type"]).rpartition(".")[2] for hook in hooks}
    names = ("ClassCheckHook", "ClassNamesHook", "CheckpointMatchHook", "GroundTruthCheckHook")
    for name in names:
        if name not in present:
            hooks.append(dict(type=f"mmproscale.{name}"))
    config.custom_hooks = hooks
    checkpoint = config.get("default_hooks", {}).get("checkpoint")
    if checkpoint and checkpoint["type"] == "CheckpointHook":
        checkpoint["type"] = "mmproscale.AtomicCheckpointHook"


def _build(config: Config) -> Runner:
    return RUNNERS.build(config) if "runner_type" in config else Runner.from_cfg(config)
