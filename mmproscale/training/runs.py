"""Runs of mmengine's Runner: options of command lines in a config, and the Runner of a config."""

from __future__ import annotations

import copy
import errno
import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS, LOOPS, METRICS, RUNNERS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from mmproscale.checkpoints.publication import RUN
from mmproscale.checkpoints.weights_file import hash_weights
from mmproscale.compat import describe_stack
from mmproscale.errors import InputError
from mmproscale.evaluation.mean_iou import keep_class_figures
from mmproscale.inference.result_kinds import give_kinds
from mmproscale.models.config_keys import check_keys
from mmproscale.timing.conditions import describe_machine
from mmproscale.training.data_first import build_data, hand_over
from mmproscale.training.mixed_precision import PrecisionHook
from mmproscale.training.parallel import train_on_cpus
from mmproscale.training.terse_log import QUIET, terse_loggers
from mmproscale.utils.atomic_files import atomic_write_text, ensure_writable_dir
from mmproscale.utils.command_names import command
from mmproscale.utils.json_values import nan_to_null
from mmproscale.utils.processes import join_processes, launcher_of, take_gpu
from mmproscale.utils.registered import is_type, registered_class
from mmproscale.version import __version__

UNIVERSAL, BOXES = "mmproscale.UniversalSegMetric", "mmdet.CocoMetric"
PANOPTIC, SEMANTIC = (UNIVERSAL, "mmdet.CocoPanopticMetric"), "mmseg.IoUMetric"
ADDED_HOOKS = (
    "ClassCheckHook",
    "ClassNamesHook",
    "CheckpointMatchHook",
    "GroundTruthCheckHook",
    "ResumeHook",
    "FiniteNumbersHook",
    "StopHook",
    "ValidationPicturesHook",
)
LOOPS_BY_STOCK = {
    IterBasedTrainLoop: "mmproscale.ResumableIterLoop",
    EpochBasedTrainLoop: "mmproscale.ResumableEpochLoop",
}


def set_up_run(
    config: Config, config_path: str | os.PathLike, work_dir: str | None, launcher: str = "none"
) -> None:
    """Set a config's work dir, and join the processes that a launcher has started.

    They communicate over the config's backend (``env_cfg.dist_cfg``) on GPUs, over gloo on CPUs.

    Args:
        config: Changed in place.
        config_path: The config's file; it names the default work dir, ``work_dirs/NAME``.
        work_dir: The work dir, or None for the config's own or the default.
        launcher: What started the processes; torchrun is found without it.

    Raises:
        InputError: The work dir can't be written; the launcher did not start this process, or
            there is no GPU for it.
    """
    config.launcher = launcher_of(launcher)
    if config.launcher != "none":
        _join(config)
    default = config.get("work_dir") or str(Path("work_dirs") / Path(config_path).stem)
    config.work_dir = str(ensure_writable_dir(work_dir or default))


def _join(config: Config) -> None:
    device = get_device()
    if device not in ("cpu", "cuda"):
        return  # mmengine knows the backends of other devices, and joins later
    if device == "cpu":
        train_on_cpus(config)
    options = config.get("env_cfg", {}).get("dist_cfg", {})
    patience = options.get("timeout")
    join_processes(
        config.launcher,
        options.get("backend", "nccl"),
        None if patience is None else timedelta(seconds=patience),
    )
    if device == "cuda":
        take_gpu()


def scale_learning_rate(config: Config) -> None:
    """Have the learning rate scaled to the batch over all GPUs.

    Raises:
        InputError: The config has no base batch size.
    """
    if "base_batch_size" not in config.get("auto_scale_lr", {}):
        raise InputError("--auto-scale-lr needs auto_scale_lr.base_batch_size in the config")
    config.auto_scale_lr.enable = True


def resume(config: Config, checkpoint: str, changed_schedule: str) -> None:
    """Have a config's training continue.

    Args:
        config: Changed in place.
        checkpoint: The file, or ``'auto'`` for the latest one in the work dir.
        changed_schedule: ``'apply'`` or ``'refuse'``, as for `ResumeHook`.

    Raises:
        InputError: The config trains by FSDP.
    """
    if "FSDP" in (config.get("strategy") or {}).get("type", ""):
        raise InputError(
            "--resume: mmengine cannot load the state of an optimizer that FSDP has sharded; start "
            "a new run from the weights by load_from=CHECKPOINT"
        )
    config.resume = True
    config.load_from = None if checkpoint == "auto" else checkpoint
    name, scope = "mmproscale.ResumeHook", config.get("default_scope")
    hooks = list(config.get("custom_hooks") or [])
    others = [hook for hook in hooks if not is_type(hook["type"], HOOKS, name, scope=scope)]
    config.custom_hooks = [*others, dict(type=name, changed_schedule=changed_schedule)]


def keep_predictions(config: Config, prefix: str) -> None:
    """Have a config's metrics write predictions.

    Panoptic predictions go to ``PREFIX.panoptic.json`` and its PNGs, label maps of mmseg's metric
    to PNGs in ``PREFIX.semantic``, boxes of mmdet's metric to ``PREFIX.bbox.json``.

    Raises:
        InputError: No metric of the config writes predictions; the files can't be written.
    """
    panoptic, semantic, boxes = (
        _evaluators(config, *types) for types in (PANOPTIC, (SEMANTIC,), (BOXES,))
    )
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


def score_kinds(config: Config, kinds: Sequence[str], instances_file: str | None = None) -> None:
    """Have the model predict, and the metric score, some kinds of results in one forward pass.

    Args:
        config: Changed in place.
        kinds: Any of ``'panoptic'``, ``'semantic'`` and ``'instance'``.
        instances_file: COCO instances JSON for AP, instead of the config's; without either, AP is
            measured against the panoptic things.

    Raises:
        InputError: The config has no ``UniversalSegMetric``, or its fusion head has no semantic
            results.
    """
    metrics = _evaluators(config, UNIVERSAL)
    if not metrics:
        raise InputError("--kinds needs mmproscale.UniversalSegMetric as test_evaluator")
    give_kinds(config, kinds)
    for metric in metrics:
        metric.kinds = tuple(kinds)
        if instances_file:
            metric.instances_file = instances_file


def check_scorable(config: Config) -> None:
    """Check that the annotation files of a config's test metrics have annotations.

    Raises:
        InputError: One has images only, as COCO's test sets do.
    """
    for evaluator in _evaluators(config):
        file = Path(str(evaluator.get("ann_file") or ""))
        try:
            content = json.loads(file.read_bytes()) if file.suffix == ".json" else {}
        except (OSError, ValueError):  # the metric says what is wrong with it
            continue
        if isinstance(content, dict) and content.get("images") and not content.get("annotations"):
            raise InputError(
                f"{file} has {len(content['images'])} images and no annotations, so there is "
                f"nothing to score: predict them with {command('predict')}"
            )


def list_classes(config: Config) -> None:
    """Have the metrics that print a table list every class in it."""
    for evaluator in _evaluators(config, UNIVERSAL, BOXES):
        evaluator.classwise = True


def report_exits(config: Config) -> None:
    """Have the test report exits and cost, if the config's model can leave its encoder early."""
    model = config.model
    head = model.get("panoptic_head") or model.get("decode_head")
    holder = model if head is None else head.get("pixel_decoder") or {}
    if not holder.get("exit_gate") and not holder.get("exit"):
        return
    # A copy: mmdet's DETRHead writes into the config that it is built from.
    metric = dict(type="mmproscale.EncoderExitMetric", model=copy.deepcopy(model))
    config.test_evaluator = [*_evaluators(config), metric]


def describe_test(runner: Runner, script: str) -> dict[str, str]:
    """Return the command of this process, its hardware, and the hash of the weights under test."""
    weights = {k.removeprefix("module."): v for k, v in runner.model.state_dict().items()}
    return {
        "command": shlex.join(["python", script, *sys.argv[1:]]),
        "hardware": describe_machine(),
        "weights": hash_weights(weights),
    }


def evaluate_and_report(
    runner: Runner, path: str | Path, script: str | None = None, precision: str = "fp32"
) -> None:
    """Test, and write all figures as JSON.

    Figures of our metrics and of mmseg's IoUMetric are in 0..1 and include each class. Other
    metrics' figures are written as they return them. Costs are in GMACs.

    Args:
        runner: The runner of a config that tests.
        path: The JSON file, which the main process writes.
        script: The running script; the file then has the result of :func:`describe_test` as
            ``run``.
        precision: Precision of the test, as of :func:`~mmproscale.models.precision.set_precision`.
    """
    run: dict[str, dict[str, str]] = {}

    def note(runner: Runner) -> None:
        if script and is_main_process():
            run[RUN] = describe_test(runner, script)

    runner.register_hook(PrecisionHook(precision, note))
    metrics = runner.test_loop.evaluator.metrics
    for metric in metrics:
        keep_class_figures(metric)
    figures = runner.test()
    reports = [metric.report for metric in metrics if hasattr(metric, "report")]
    if len(reports) < len(metrics):
        reports.append(figures)
    if is_main_process():
        merged = {key: value for report in reversed(reports) for key, value in report.items()}
        text = json.dumps(nan_to_null(merged | run), indent=1, default=float)
        atomic_write_text(path, text + "\n")


def _evaluators(config: Config, *types: str) -> list:
    """Return the test evaluators, or those of some types."""
    evaluators = config.test_evaluator
    evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
    scope = config.get("default_scope")
    return [e for e in evaluators if not types or is_type(e.type, METRICS, *types, scope=scope)]


def build_runner(config: Config, phases: Sequence[str] = (), terse: bool = False) -> Runner:
    """Build the Runner of a config, of the config's ``runner_type`` if it has one.

    Hooks that check classes, checkpoints, ground truth and numbers, that resume, that save at a
    signal, and that draw validations are added where the config lacks them. Stock's checkpoint hook
    is replaced by AtomicCheckpointHook, and stock's training loops by those whose data are resumed
    exactly.

    Args:
        config: Changed in place.
        phases: Some of ``'train'``, ``'val'``, ``'test'``, whose files are checked before the model
            is built; without this, each loop checks its own when it begins.
        terse: Show short lines on the console; the log file keeps all.

    Raises:
        InputError: The config has a key that nothing reads, or an unknown type; the
            disk of its work dir is full; a file of the phases is missing or has a fault.
    """
    with terse_loggers() if terse else nullcontext():
        check_keys(config, config.filename)
        _add_hooks(config, (*ADDED_HOOKS, *["RunDisplayHook"] * terse))
        _replace_loop(config)
        built = build_data(config, phases)
        runner = _build(config)
    hand_over(runner, built)
    runner.logger.info(f"mmproscale {__version__} on {describe_stack()}", extra=QUIET)
    return runner


def _build(config: Config) -> Runner:
    try:
        own = "runner_type" in config
        return RUNNERS.build(config) if own else Runner.from_cfg(config)
    except OSError as error:
        if error.filename or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise InputError(
            f"{config.work_dir} cannot be written: {error.strerror}; free space, or give another "
            "--work-dir"
        ) from error
    except (KeyError, TypeError) as error:
        # A KeyError puts its message in quotes.
        message = " ".join(str(error.args[0] if error.args else error).split())
        if not re.search("is not in the .* registry|keyword argument|required positional", message):
            raise
        raise InputError(f"the config does not fit: {message.split('. Please')[0]}") from error


def _add_hooks(config: Config, names: Sequence[str]) -> None:
    hooks, scope = list(config.get("custom_hooks") or []), config.get("default_scope")
    for name in (f"mmproscale.{name}" for name in names):
        if not any(is_type(hook["type"], HOOKS, name, scope=scope) for hook in hooks):
            hooks.append(dict(type=name))
    config.custom_hooks = hooks
    checkpoint = config.get("default_hooks", {}).get("checkpoint")
    if checkpoint and registered_class(checkpoint["type"], HOOKS, scope) is CheckpointHook:
        checkpoint["type"] = "mmproscale.AtomicCheckpointHook"


def _replace_loop(config: Config) -> None:
    settings = config.get("train_cfg")
    if not settings:
        return
    stock = {True: EpochBasedTrainLoop, False: IterBasedTrainLoop}.get(settings.get("by_epoch"))
    loop = registered_class(settings.get("type", stock), LOOPS, config.get("default_scope"))
    if loop in LOOPS_BY_STOCK:
        settings.pop("by_epoch", None)
        settings["type"] = LOOPS_BY_STOCK[loop]
