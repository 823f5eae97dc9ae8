"""Configs of detectors with exits: their models' but for that, which are mmdet's; they step."""

import copy
from pathlib import Path

import pytest
import torch
from helpers.config_parts import read_parts
from helpers.early_exit_detectors import STOCK_DETR
from helpers.tiny_detectors import batch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from mmproscale.utils.config import load_config

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*d*.py"))
DETECTORS = [p for p in CONFIGS if {*p.stem.split("_")} & {"detr", "dino"} and "m2f" not in p.stem]
ECO = [path for path in DETECTORS if path.stem.startswith("eco")]
DETR = [path for path in DETECTORS if "_detr_" in f"_{path.stem}"]
EXITS = {"eco": (2, 3, 4, 5, 6), "eco-lite": (2, 3, 4, 5), "eco-proscale": (10, 11, 12)}
SMALL = {
    "model.backbone.init_cfg": None,
    "model.num_queries": 20,
    "model.decoder.num_layers": 1,
    "model.test_cfg.max_per_img": 20,
}


def by_name(path):
    return path.stem


def build(path):
    config = load_config(path, SMALL)
    init_default_scope(config.default_scope)
    return config, MODELS.build(config.model)


def plain(config):
    """A config's dict, types without scope."""
    if isinstance(config, dict):
        return {key: plain(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [plain(value) for value in config]
    return config.rpartition(".")[2] if isinstance(config, str) else config


def test_they_are_there():
    assert {path.stem for path in ECO} >= {
        f"eco_{model}_{rest}" for model in ("detr", "dino") for rest in ("r50_coco", "r18_shapes")
    }
    assert len(DETR) == 4


@pytest.mark.parametrize("path", ECO, ids=by_name)
def test_an_eco_config_has_exits_and_differs_from_its_model_in_nothing_else(path):
    without = path.with_name(path.name.replace("eco_", "").replace("eco-", ""))
    eco, model = read_parts(path), read_parts(without)
    assert eco["model"].pop("exit_gate") == dict(type="ExitGate")
    assert eco["model"].pop("exit_loss") == dict(type="mmproscale.MultiExitLoss")
    if path.stem == "eco_dino_r18_shapes":  # which has more layers, for exits to choose from
        for config in (eco, model):
            config["model"]["encoder"].pop("schedule")
    assert eco == model


@pytest.mark.parametrize("path", sorted({*ECO, *DETR}), ids=by_name)
def test_builds_with_its_exits_and_dumps(path, tmp_path):
    with torch.device("meta"):
        _, model = build(path)
    kind = path.stem.partition("_")[0]
    assert model.exits == (EXITS[kind] if path in ECO else (1, 2, 3, 4, 5, 6))
    config = load_config(path)  # mmdet's head writes a tensor into the one that it is built from
    Config(config.to_dict(), format_python_code=False).dump(tmp_path / "dumped.py")
    assert Config.fromfile(tmp_path / "dumped.py").to_dict() == config.to_dict()
    text = str(load_config(path, {"data_root": "/elsewhere"}).to_dict())
    assert "/elsewhere/annotations/instances_" in text and "'data/" not in text


@pytest.mark.parametrize(
    "name", ["eco_detr_r50_coco", "eco_detr_r18_shapes", "eco_dino_r18_shapes"]
)
def test_steps_predicts_saves_and_loads(name, tmp_path, configs):
    config, model = build(configs / f"{name}.py")
    model.init_weights()
    images, samples = batch(((96, 64), (72, 112)))
    for sample in samples:
        sample.gt_instances.labels %= config.model.bbox_head.num_classes
    optim_wrapper = build_optim_wrapper(model, config.optim_wrapper)
    total, losses = model.parse_losses(model.loss(images, copy.deepcopy(samples)))
    assert all(torch.isfinite(loss).all() for loss in losses.values())
    before = model.encoder.layers[5].ffn.layers[1].weight.detach().clone()
    optim_wrapper.update_params(total)
    assert not torch.equal(model.encoder.layers[5].ffn.layers[1].weight, before)

    torch.save(model.state_dict(), tmp_path / "weights.pth")
    _, again = build(configs / f"{name}.py")
    again.load_state_dict(torch.load(tmp_path / "weights.pth", weights_only=True), strict=True)
    with torch.no_grad():
        found, expected = (m.eval().predict(images, samples)[1] for m in (model, again))
    assert torch.equal(found.pred_instances.bboxes, expected.pred_instances.bboxes)
    assert found.encoder_exit == 6


def test_detrs_model_and_recipe_are_mmdets(configs):
    """All but where the data lie; epochs are written as iterations."""
    ours, theirs = load_config(configs / "detr_r50_coco.py"), get_config(STOCK_DETR)
    models = [plain(config.model.to_dict()) for config in (ours, theirs)]
    assert models[0].pop("type") == f"EarlyExit{models[1].pop('type')}"
    assert models[0] == models[1]
    assert plain(ours.optim_wrapper.to_dict()) == plain(theirs.optim_wrapper.to_dict())
    batch_size, epoch = theirs.auto_scale_lr.base_batch_size, 7393
    assert ours.auto_scale_lr.base_batch_size == batch_size and epoch == -(-118287 // batch_size)
    assert ours.train_cfg.max_iters == 150 * epoch
    assert ours.train_cfg.val_interval == ours.default_hooks.checkpoint.interval == epoch
    (rate,), (their_rate,) = ours.param_scheduler, theirs.param_scheduler
    milestones = [epoch * milestone for milestone in their_rate["milestones"]]
    changed = dict(by_epoch=False, end=150 * epoch, milestones=milestones)
    assert dict(rate) == dict(their_rate) | changed
    data = [config.train_dataloader.dataset for config in (ours, theirs)]
    assert plain(data[0].pipeline[2:]) == plain(data[1].pipeline[2:])
    assert data[0].filter_cfg == data[1].filter_cfg
