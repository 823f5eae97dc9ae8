"""Configs of detectors: mmdet's models and recipes but for the encoder; they step and predict."""

import copy
from pathlib import Path

import pytest
import torch
from helpers.config_parts import read_parts
from helpers.tiny_detectors import STOCK, batch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from mmproscale.checkpoints.any_source import load_model_weights
from mmproscale.models.encoders.schedule import build_schedule
from mmproscale.utils.config import load_config

FRAMEWORKS = {"dino": "DINO", "ddq": "DDQDETR", "deformable-detr": "DeformableDETR"}
CONFIGS = [
    path
    for path in sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.py"))
    if "m2f" not in path.stem and {*path.stem.split("_")} & {*FRAMEWORKS}
]
EVERY = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
SMALL = {
    "model.backbone.init_cfg": None,
    "model.num_queries": 20,
    "model.decoder.num_layers": 2,
    "model.test_cfg.max_per_img": 20,
}
# One config of each kind steps; the others of its kind differ from it only in the schedule.
STEPPED = {
    "proscale_dino_r50_coco",
    "proscale_ddq_r50_coco",
    "proscale_deformable-detr_r50_coco",
    "lite-x3_dino_swin-t_coco",
    "dino_r18_shapes",
}


def framework_of(path):
    return next(part for part in path.stem.split("_") if part in FRAMEWORKS)


def build(path, more=None):
    config = load_config(path, more or {})
    init_default_scope(config.default_scope)
    return config, MODELS.build(config.model)


def plain(config) -> dict:
    """A config's dict, types without scope."""
    if isinstance(config, dict):
        return {key: plain(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [plain(value) for value in config]
    return config.rpartition(".")[2] if isinstance(config, str) else config


@EVERY
def test_builds_with_the_schedule_that_its_name_tells_and_dumps(path, tmp_path):
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        linspace = torch.linspace  # mmdet's Swin reads numbers from it
        patch.setattr(torch, "linspace", lambda *args: linspace(*args, device="cpu"))
        config, model = build(path, {"model.backbone.init_cfg": None})
    method, schedule = path.stem.split("_")[0], model.encoder.schedule
    kind = config.model.encoder.schedule.type
    assert kind == {"proscale": "pro_scale", "lite": "lite"}.get(
        method.removeprefix("eco-").partition("-")[0], "m2f"
    )
    assert (model.recalibration is not None) == (kind == "pro_scale")
    if method.startswith("proscale-"):
        assert "".join(str(stage.repeats) for stage in schedule.stages) == method[-4:].strip("-")
    assert schedule.strides == (64, 32, 16, 8) and model.strides == (8, 16, 32, 64)
    Config(config.to_dict(), format_python_code=False).dump(tmp_path / "dumped.py")
    assert Config.fromfile(tmp_path / "dumped.py").to_dict() == config.to_dict()


@pytest.mark.parametrize("name", sorted(STEPPED))
def test_steps_predicts_saves_and_loads(name, tmp_path, configs):
    path = configs / f"{name}.py"
    less = SMALL | ({"model.backbone.depths": [1, 1, 1, 1]} if "swin" in name else {})
    config, model = build(path, less)
    model.init_weights()
    classes = config.model.bbox_head.num_classes
    images, samples = batch(((64, 64), (48, 72)))
    for sample in samples:
        sample.gt_instances.labels %= classes
    optim_wrapper = build_optim_wrapper(model, config.optim_wrapper)
    total, losses = model.parse_losses(model.loss(images, copy.deepcopy(samples)))
    assert all(torch.isfinite(loss).all() for loss in losses.values())
    before = model.encoder.layers[0].ffn.layers[1].weight.detach().clone()
    optim_wrapper.update_params(total)
    assert not torch.equal(model.encoder.layers[0].ffn.layers[1].weight, before)

    torch.save(dict(state_dict=model.state_dict()), tmp_path / "weights.pth")
    _, again = build(path, less)
    load_model_weights(again, tmp_path / "weights.pth")
    with torch.no_grad():
        found, expected = (m.eval().predict(images, samples)[1] for m in (model, again))
    assert torch.equal(found.pred_instances.bboxes, expected.pred_instances.bboxes)
    assert len(found.pred_instances) == 20


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_models_and_recipes_are_mmdets(framework, configs):
    """All but the encoder's class and where the data lie; epochs are written as iterations."""
    ours = load_config(configs / f"{framework}_r50_coco.py")
    stock = STOCK[FRAMEWORKS[framework]].replace(
        "deformable-detr_", "deformable-detr-refine-twostage_"
    )
    theirs = get_config(stock)
    models = [plain(config.model.to_dict()) for config in (ours, theirs)]
    schedule = models[0]["encoder"].pop("schedule")
    layers = models[1]["encoder"].pop("num_layers")
    assert schedule == dict(type="m2f", layers=layers, levels=[64, 32, 16, 8])
    defaults = dict(strides=[8, 16, 32, 64], recalibration=None)
    for key, value in defaults.items():
        assert models[0].pop(key) == value
    assert models[0].pop("type") == f"Scheduled{models[1].pop('type')}"
    assert models[0].pop("num_feature_levels") == models[1].pop("num_feature_levels", 4)
    for model in models:  # what mmcv's attention has by default
        for name, key in (("encoder", "self_attn_cfg"), ("decoder", "cross_attn_cfg")):
            attention = model[name]["layer_cfg"][key]
            attention.setdefault("dropout", 0.1), attention.setdefault("num_levels", 4)
            attention.pop("batch_first", None)
        model["decoder"]["layer_cfg"]["self_attn_cfg"].pop("batch_first", None)
        model["positional_encoding"].setdefault("temperature", 10000)
    assert models[0] == models[1]

    assert plain(ours.optim_wrapper.to_dict()) == plain(theirs.optim_wrapper.to_dict())
    epochs, batch_size = theirs.train_cfg.max_epochs, theirs.auto_scale_lr.base_batch_size
    assert ours.auto_scale_lr.base_batch_size == batch_size
    epoch = -(-118287 // batch_size)
    assert ours.train_cfg.max_iters == epochs * epoch
    assert ours.train_cfg.val_interval == ours.default_hooks.checkpoint.interval == epoch
    rates = [dict(rate) for rate in theirs.param_scheduler]
    rates[-1] |= dict(by_epoch=False, end=epochs * epoch)
    rates[-1]["milestones"] = [epoch * milestone for milestone in rates[-1]["milestones"]]
    assert [dict(rate) for rate in ours.param_scheduler] == rates
    steps = [plain(config.train_dataloader.dataset.pipeline[2:]) for config in (ours, theirs)]
    assert steps[0] == steps[1]
    assert ours.test_evaluator.metric == theirs.test_evaluator.metric == "bbox"


def test_a_twin_differs_only_in_the_encoder():
    twins = [p for p in CONFIGS if p.stem.split("_")[0] in FRAMEWORKS]
    assert len(twins) == 6
    for path in twins:
        twin, ours = read_parts(path), read_parts(path.with_name(f"proscale_{path.name}"))
        for config in (twin, ours):
            config["model"]["encoder"].pop("schedule"), config["model"].pop("recalibration")
        assert twin == ours


def test_lite_dinos_are_the_released_ones(configs):
    for name, full in (("lite", [5]), ("lite-x3", [1, 3, 5])):
        schedule = load_config(configs / f"{name}_dino_r50_coco.py").model.encoder.schedule
        layers = build_schedule(schedule).layers
        assert len(layers) == 6
        assert [k for k, layer in enumerate(layers) if 8 in layer.queries] == full
        assert all(layer.keys == (64, 32, 16, 8) for layer in layers)
        assert [f.channels for k in full for f in layers[k].feedforwards] == [256] * len(full)


def test_paths_move_with_data_root():
    for path in CONFIGS:
        text = str(load_config(path, {"data_root": "/elsewhere"}).to_dict())
        assert "/elsewhere/annotations/instances_" in text and "'data/" not in text
