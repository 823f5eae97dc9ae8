"""Options of the command line in a config, and the Runner of a config with the checks it needs."""

import json
from datetime import timedelta

import pytest
from helpers.toy_training import ToyDataset, ToyModel, toy_runner
from mmdet.evaluation import CocoMetric
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS, METRICS, MODELS, Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import nn

from mmproscale.checkpoints.weights_file import hash_weights
from mmproscale.errors import InputError
from mmproscale.evaluation import UniversalSegMetric
from mmproscale.timing.conditions import describe_machine
from mmproscale.training import AtomicCheckpointHook, ClassCheckHook
from mmproscale.training.runs import (
    build_runner,
    check_scorable,
    describe_test,
    evaluate_and_report,
    keep_predictions,
    list_classes,
    report_exits,
    resume,
    scale_learning_rate,
    score_kinds,
    set_up_run,
)
from mmproscale.utils.config import load_config


@pytest.fixture(autouse=True)
def own_types():
    """Types of a user's package with scope ``theirs``."""
    metrics = Registry("metric", parent=METRICS, scope="theirs")
    metrics.register_module(name="Scores", module=type("Scores", (UniversalSegMetric,), {}))
    metrics.register_module(name="BoxScores", module=type("BoxScores", (CocoMetric,), {}))
    metrics.register_module(module=type("MyCocoMetric", (BaseMetric,), {}))
    metrics.register_module(name="Mean", module=Mean)
    hooks = Registry("hook", parent=HOOKS, scope="theirs")
    hooks.register_module(name="Classes", module=type("Classes", (ClassCheckHook,), {}))
    hooks.register_module(name="Saving", module=type("Saving", (CheckpointHook,), {}))
    models = Registry("model", parent=MODELS, scope="theirs")
    models.register_module(module=ToyModel)
    yield
    for registry in (METRICS, HOOKS, MODELS):
        del registry.children["theirs"]


class Mean(BaseMetric):
    """Figures as another package's metric returns them."""

    def process(self, data_batch, data_samples):
        self.results.extend(0.5 for _ in data_samples)

    def compute_metrics(self, results):
        return {"mean": sum(results) / len(results)}


def config_with_metrics(*types, **more):
    return Config(dict(test_evaluator=[dict(type=name) for name in types], **more))


def test_each_metric_keeps_its_predictions_where_it_can_write_them(tmp_path):
    prefix = str(tmp_path / "kept" / "run")
    config = config_with_metrics(
        "theirs.Scores", "theirs.BoxScores", "theirs.MyCocoMetric", "mmseg.IoUMetric"
    )
    keep_predictions(config, prefix)
    panoptic, boxes, foreign, semantic = config.test_evaluator
    assert panoptic.outfile_prefix == boxes.outfile_prefix == prefix
    assert semantic.output_dir == f"{prefix}.semantic"
    assert foreign == dict(type="theirs.MyCocoMetric")
    assert (tmp_path / "kept" / "run.panoptic").is_dir()


@pytest.mark.parametrize("name", ["theirs.MyCocoMetric", "Unknown"])
def test_predictions_need_a_metric_that_writes_them(name, tmp_path):
    with pytest.raises(InputError, match="test_evaluator has no metric that writes them"):
        keep_predictions(config_with_metrics(name), str(tmp_path / "kept"))


def test_names_without_scope_are_of_the_configs_scope():
    config = config_with_metrics("CocoMetric", "UniversalSegMetric", default_scope="mmdet")
    list_classes(config)
    assert [e.get("classwise") for e in config.test_evaluator] == [True, None]
    config = config_with_metrics("Scores", "MyCocoMetric", "BoxScores", default_scope="theirs")
    list_classes(config)
    assert [e.get("classwise") for e in config.test_evaluator] == [True, None, True]


def test_kinds_are_of_model_and_metric(configs):
    config = load_config(configs / "m2f_r18_shapes.py")
    score_kinds(config, ["panoptic", "instance"], "instances.json")
    assert config.test_evaluator.kinds == ("panoptic", "instance")
    assert config.test_evaluator.instances_file == "instances.json"
    assert config.model.test_cfg.instance_on and not config.model.test_cfg.semantic_on
    config.test_evaluator = dict(type="CocoPanopticMetric")
    with pytest.raises(InputError, match=r"--kinds needs mmproscale\.UniversalSegMetric"):
        score_kinds(config, ["panoptic"])


def test_exits_are_reported_where_the_model_has_them(configs):
    for name, added in (("m2f_r18_shapes", 0), ("eco_m2f_r18_shapes", 1), ("eco_detr_r50_coco", 1)):
        config = load_config(configs / f"{name}.py")
        report_exits(config)
        evaluators = config.test_evaluator
        types = [e.type for e in evaluators] if isinstance(evaluators, list) else []
        assert types.count("mmproscale.EncoderExitMetric") == added, name


def test_the_work_dir_is_the_options_then_the_configs_then_the_configs_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for config, option, expected in (
        (Config(dict(work_dir="own")), "given", "given"),
        (Config(dict(work_dir="own")), None, "own"),
        (Config(dict(data=1)), None, "work_dirs/name"),
    ):
        set_up_run(config, "configs/name.py", option)
        assert (config.work_dir, config.launcher) == (expected, "none")
        assert (tmp_path / expected).is_dir()


@pytest.mark.parametrize(("device", "backend"), [("cpu", "gloo"), ("cuda", "nccl")])
def test_processes_are_joined_over_the_devices_backend(device, backend, monkeypatch, tmp_path):
    joined = []
    monkeypatch.setattr("mmproscale.training.runs.get_device", lambda: device)
    monkeypatch.setattr("mmproscale.training.runs.join_processes", lambda *a: joined.append(a))
    monkeypatch.setattr("mmproscale.training.runs.take_gpu", lambda: None)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    config = Config(dict(env_cfg=dict(dist_cfg=dict(backend="nccl", timeout=60))))
    set_up_run(config, "a.py", str(tmp_path), "slurm")
    assert joined == [("slurm", backend, timedelta(seconds=60))]
    set_up_run(config, "a.py", str(tmp_path))
    assert config.launcher == "none" and len(joined) == 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    set_up_run(config, "a.py", str(tmp_path))
    assert config.launcher == "pytorch" and len(joined) == 2


def test_the_learning_rate_is_scaled_from_a_known_batch_size():
    config = Config(dict(auto_scale_lr=dict(base_batch_size=16)))
    scale_learning_rate(config)
    assert config.auto_scale_lr.enable
    with pytest.raises(InputError, match=r"needs auto_scale_lr\.base_batch_size"):
        scale_learning_rate(Config())


def toy_config(work_dir, **more):
    settings = dict(
        model=dict(type="ToyModel"),
        default_scope="theirs",
        work_dir=str(work_dir),
        log_level="ERROR",
        experiment_name=f"runs_{work_dir.name}",
    )
    return Config(settings | more)


def hook_classes(runner):
    return {type(hook).__name__ for hook in runner.hooks}


def test_a_runner_gets_the_checks_and_safe_saving(tmp_path):
    config = toy_config(tmp_path, default_hooks=dict(checkpoint=dict(type="CheckpointHook")))
    runner = build_runner(config)
    checks = {"ClassCheckHook", "ClassNamesHook", "CheckpointMatchHook", "GroundTruthCheckHook"}
    checks |= {"ResumeHook", "FiniteNumbersHook"}
    assert checks < hook_classes(runner)
    assert any(type(hook) is AtomicCheckpointHook for hook in runner.hooks)


def test_a_users_own_hooks_are_not_doubled_or_replaced(tmp_path):
    hooks = dict(checkpoint=dict(type="Saving"))
    config = toy_config(tmp_path, custom_hooks=[dict(type="Classes")], default_hooks=hooks)
    names = hook_classes(build_runner(config))
    assert {"Classes", "Saving"} < names
    assert not {"ClassCheckHook", "AtomicCheckpointHook"} & names


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (dict(type="NoSuchModel"), r"does not fit: .*NoSuchModel is not in the .* registry"),
        (dict(type="ToyModel", hight=2), r"does not fit: .*keyword argument 'hight'"),
    ],
)
def test_a_config_that_does_not_fit_is_one_line(tmp_path, model, message):
    config = toy_config(tmp_path)
    config.model = model
    with pytest.raises(InputError, match=message) as caught:
        build_runner(config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "loop"),
    [
        (dict(type="IterBasedTrainLoop", max_iters=2), "mmproscale.ResumableIterLoop"),
        (dict(by_epoch=False, max_iters=2), "mmproscale.ResumableIterLoop"),
        (dict(by_epoch=True, max_epochs=2), "mmproscale.ResumableEpochLoop"),
        (dict(type=EpochBasedTrainLoop, max_epochs=2), "mmproscale.ResumableEpochLoop"),
        (dict(type=type("OwnLoop", (IterBasedTrainLoop,), {}), max_iters=2), None),
    ],
)
def test_stock_loops_are_replaced(tmp_path, monkeypatch, settings, loop):
    built = []
    monkeypatch.setattr(Runner, "from_cfg", lambda config: built.append(config.train_cfg))
    with pytest.raises(AttributeError):  # of the runner, which is not built
        build_runner(toy_config(tmp_path, train_cfg=settings))
    (train_cfg,) = built
    assert train_cfg["type"] == (loop or settings["type"])
    assert "by_epoch" not in train_cfg or loop is None


def test_resume_takes_a_file_or_the_latest():
    config = Config(dict(custom_hooks=[dict(type="Other"), dict(type="mmproscale.ResumeHook")]))
    resume(config, "auto", "refuse")
    assert config.resume and config.load_from is None
    hook = dict(type="mmproscale.ResumeHook", changed_schedule="refuse")
    assert config.custom_hooks == [dict(type="Other"), hook]
    resume(config, "a.pth", "apply")
    assert config.load_from == "a.pth" and len(config.custom_hooks) == 2


def test_figures_are_written_as_the_metric_returns_them(tmp_path):
    sampler = dict(type="DefaultSampler", shuffle=False)
    runner = toy_runner(
        tmp_path,
        test_dataloader=dict(dataset=ToyDataset(), batch_size=4, sampler=sampler),
        test_cfg={},
        test_evaluator=dict(type="theirs.Mean"),
    )
    evaluate_and_report(runner, tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"mean": 0.5}


def test_a_test_notes_its_command_its_hardware_and_the_weights(tmp_path, monkeypatch):
    runner = toy_runner(tmp_path)
    monkeypatch.setattr("sys.argv", ["/home/me/tools/test.py", "a b.py", "c.pth"])
    noted = describe_test(runner, "tools/test.py")
    assert noted["command"] == "python tools/test.py 'a b.py' c.pth"
    assert noted["hardware"] == describe_machine()
    assert noted["weights"] == hash_weights(runner.model.state_dict())
    runner.model = nn.ModuleDict({"module": runner.model})  # as several processes wrap it
    assert describe_test(runner, "tools/test.py") == noted


def test_images_without_annotations_cannot_be_scored(tmp_path):
    config = config_with_metrics("mmdet.CocoMetric")
    config.test_evaluator[0].ann_file = str(tmp_path / "image_info.json")
    (tmp_path / "image_info.json").write_text('{"images": [{"id": 1}, {"id": 2}]}')
    with pytest.raises(InputError, match=r"has 2 images and no annotations.*mmproscale predict"):
        check_scorable(config)
    (tmp_path / "image_info.json").write_text('{"images": [{"id": 1}], "annotations": [{"id": 1}]}')
    check_scorable(config)
