"""Every config of a segmentor in configs/ builds, steps, predicts and dumps; some save and load."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from helpers.config_parts import read_parts
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from mmproscale.models.encoders.exit_gate import choose_exits
from mmproscale.models.encoders.schedule import build_schedule
from mmproscale.utils.config import load_config

CONFIGS = [
    path
    for path in sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.py"))
    if "m2f" in path.stem  # detectors have tests of their own
]
# Packages that configs of some names need.
NEEDED = {
    part: pytest.mark.skipif(find_spec(package) is None, reason=f"no {package}")
    for part, package in {"mvit": "mmpretrain", "timm": "timm"}.items()
}
# Weights are not fetched in a test, and nine decoder layers at 1024 pixels say no more than these.
SMALL = {
    "model.backbone.init_cfg": None,
    "model.train_cfg.num_points": 64,
    "model.data_preprocessor.batch_augments": None,
}
SMALL_SEMANTIC = {
    "model.backbone.init_cfg": None,
    "model.decode_head.train_cfg.num_points": 64,
    "model.data_preprocessor.size": (64, 64),
}
# Of each kind one is tested at its full size, as it starts to train; the others at less.
WHOLE = {
    "eco_m2f_r18_shapes",
    "lite_m2f_swin-t_coco-instance",
    "m2f_r18_camvid",
    "m2f_r50_coco",
    "pem_m2f_r18_shapes",
    "pem_m2f_stdc1_cityscapes-semantic",
    "proscale_m2f_mvitv2-t_coco",
    "proscale_m2f_r18_shapes",
    "proscale_m2f_r18_camvid-semantic",
    "proscale_m2f_r50_coco",
    "proscale_m2f_swin-t_coco",
}
MILLIONS = {  # of parameters, as published, without the classifier
    "r50": 23.5,
    "r101": 42.5,
    "swin-t": 27.5,
    "swin-s": 48.8,
    "swin-b": 86.7,
    "swin-l": 195.0,
    "mvitv2-t": 23.4,
}


def leaves(condition=lambda name: True) -> list:
    """Return the configs whose name fits; those that need an absent package skip."""
    return [
        pytest.param(
            path, marks=[mark for part, mark in NEEDED.items() if part in path.stem], id=path.stem
        )
        for path in CONFIGS
        if condition(path.stem)
    ]


def is_semantic(path: Path) -> bool:
    return path.stem.endswith("-semantic")


def head_of(path: Path) -> str:
    """Return the key of the mask head in a config's model: mmdet's key or mmseg's."""
    return "decode_head" if is_semantic(path) else "panoptic_head"


def build(path: Path, more: dict | None = None):
    config = load_config(path, (SMALL_SEMANTIC if is_semantic(path) else SMALL) | (more or {}))
    assert config.default_scope == ("mmseg" if is_semantic(path) else "mmdet")
    init_default_scope(config.default_scope)
    return config, MODELS.build(config.model)


@pytest.fixture(scope="module", params=leaves())
def small(request):
    """A config and its model, which is as wide as it says but less deep."""
    less = {f"model.{head_of(request.param)}.transformer_decoder.num_layers": 1}
    if "swin" in request.param.stem:
        less["model.backbone.depths"] = [1, 1, 1, 1]
    return request.param, *build(request.param, less)


def two_images(num_things: int, size: int = 64) -> dict:
    """Noise with one thing on the left and the first stuff class elsewhere.

    Batch norm needs more than one value per channel where maps shrink to a pixel.
    """
    labels = torch.full((1, size, size), num_things)
    labels[:, :, : size // 2] = 0
    sample = DetDataSample(metainfo=dict(img_shape=(size, size), ori_shape=(size, size)))
    mask = (labels == 0).numpy().astype("uint8")
    sample.gt_instances = InstanceData(
        labels=torch.zeros(1, dtype=torch.long), masks=BitmapMasks(mask, size, size)
    )
    sample.gt_sem_seg = PixelData(sem_seg=labels)
    image = torch.randint(0, 255, (3, size, size), dtype=torch.uint8)
    return dict(inputs=[image] * 2, data_samples=[sample] * 2)


def two_maps(size: int = 64) -> dict:
    """Noise with the first class on the left, the second elsewhere and some void."""
    labels = torch.ones((1, size, size), dtype=torch.long)
    labels[:, :, : size // 2] = 0
    labels[:, :4] = 255
    sample = SegDataSample(metainfo=dict(img_shape=(size, size), ori_shape=(size, size)))
    sample.gt_sem_seg = PixelData(data=labels)
    image = torch.randint(0, 255, (3, size, size), dtype=torch.uint8)
    return dict(inputs=[image] * 2, data_samples=[sample] * 2)


def images_for(config: Config) -> dict:
    if config.default_scope == "mmseg":
        return two_maps()
    batch = two_images(config.model.panoptic_head.num_things_classes)
    if config.model.panoptic_head.num_stuff_classes == 0:
        for sample in batch["data_samples"]:
            sample.pop("gt_sem_seg", None)
    return batch


def result_of(model, batch: dict) -> torch.Tensor:
    result = model.test_step(batch)[0]
    if hasattr(model, "decode_head"):
        return result.pred_sem_seg.data
    wanted = model.test_cfg["panoptic_on"], model.test_cfg["instance_on"]
    assert wanted == ("pred_panoptic_seg" in result, "pred_instances" in result)
    return result.pred_panoptic_seg.sem_seg if wanted[0] else result.pred_instances.masks


@pytest.mark.parametrize("path", leaves(WHOLE.__contains__))
def test_config_builds_steps_saves_loads_and_dumps(path, tmp_path):
    config, model = build(path)
    model.init_weights()
    optim_wrapper = build_optim_wrapper(model, config.optim_wrapper)
    batch = images_for(config)
    losses = model.train_step(batch, optim_wrapper)
    assert all(torch.isfinite(loss).all() for loss in losses.values())

    torch.save(model.state_dict(), tmp_path / "weights.pth")
    _, again = build(path)
    again.load_state_dict(torch.load(tmp_path / "weights.pth", weights_only=True), strict=True)
    model.eval(), again.eval()
    assert torch.equal(result_of(model, batch), result_of(again, batch))

    config.dump(tmp_path / "dumped.py")
    assert Config.fromfile(tmp_path / "dumped.py").to_dict() == config.to_dict()


def test_every_parameter_has_a_gradient_but_for_what_is_frozen(small):
    _, config, model = small
    model.train()
    data = model.data_preprocessor(images_for(config), training=True)
    losses = model(**data, mode="loss")
    assert all(torch.isfinite(loss).all() for loss in losses.values())
    sum(v for k, v in losses.items() if "loss" in k).backward()
    missing = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert not missing


def test_gives_the_results_that_its_test_cfg_names_and_dumps(small, tmp_path):
    _, config, model = small
    assert len(result_of(model.eval(), images_for(config)))
    plain = Config(config.to_dict(), format_python_code=False)  # formatting takes its time
    plain.dump(tmp_path / "dumped.py")
    assert Config.fromfile(tmp_path / "dumped.py").to_dict() == config.to_dict()


def test_neither_norms_nor_embeddings_decay_and_a_pretrained_backbone_learns_slower(small):
    path, config, model = small
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    settings = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    norms = (torch.nn.LayerNorm, torch.nn.GroupNorm, torch.nn.BatchNorm2d)
    steady = [
        (name, parameter)
        for name, module in model.named_modules()
        if isinstance(module, (*norms, torch.nn.Embedding))
        for parameter in module.parameters()
    ]
    tables = [(n, p) for n, p in model.backbone.named_parameters() if re.search("rel.*pos", n)]
    assert bool(tables) == ("swin" in path.stem or "mvit" in path.stem)
    for name, parameter in steady + tables:
        assert not parameter.requires_grad or settings[id(parameter)]["weight_decay"] == 0, name
    rate = config.optim_wrapper.optimizer.lr
    slower = {"r18": 1.0, "timm-efficientnet-lite0": 0.2}.get(path.stem.split("_")[-2], 0.1)
    for part, expected in [
        (model.backbone, rate * slower),
        (getattr(model, head_of(path)), rate),
    ]:
        assert {settings[id(p)]["lr"] for p in part.parameters() if p.requires_grad} == {expected}


@pytest.mark.parametrize("backbone", MILLIONS)
def test_backbones_have_their_published_size(backbone, monkeypatch):
    linspace = torch.linspace  # mmdet's Swin reads numbers from it
    monkeypatch.setattr(torch, "linspace", lambda *args: linspace(*args, device="cpu"))
    if "mvit" in backbone and find_spec("mmpretrain") is None:
        pytest.skip("no mmpretrain")
    path = next(p for p in CONFIGS if p.stem == f"proscale_m2f_{backbone}_coco")
    with torch.device("meta"):
        _, model = build(path)
    millions = sum(p.numel() for p in model.backbone.parameters()) / 1e6
    assert millions == pytest.approx(MILLIONS[backbone], rel=0.01)


@pytest.mark.parametrize("path", leaves(lambda name: name.startswith("m2f_")))
def test_a_twin_differs_only_in_the_pixel_decoder_and_on_cityscapes_in_the_rates_fall(path):
    twin, ours = read_parts(path), read_parts(path.with_name(f"proscale_{path.name}"))
    if path.stem.endswith("_cityscapes"):
        falls = [config.pop("param_scheduler") for config in (twin, ours)]
        assert [fall["type"] for fall in falls] == ["PolyLR", "MultiStepLR"]
        assert falls[0]["end"] == falls[1]["end"] == twin["train_cfg"]["max_iters"]
    decoders = [c["model"][head_of(path)].pop("pixel_decoder") for c in (twin, ours)]
    assert twin == ours
    schedules = [decoder["encoder"].pop("schedule")["type"] for decoder in decoders]
    types = [decoder.pop("type").rpartition(".")[2] for decoder in decoders]
    assert schedules == ["m2f", "pro_scale"]
    assert types == ["DeformablePixelDecoder", "ProScalePixelDecoder"]
    assert decoders[0] == decoders[1]


@pytest.mark.parametrize("path", leaves(lambda name: name.endswith("-instance")))
def test_an_instance_config_differs_only_in_dataset_classes_padding_and_results(path):
    names = (path.name, path.name.replace("-instance", ""))
    both = [read_parts(path.with_name(name)) for name in names]
    datasets = [key for key in both[0] if re.search("dataloader|evaluator", key)]
    for config in both:
        for key in datasets:
            config.pop(key)
        model = config["model"]
        weights = model["panoptic_head"]["loss_cls"].pop("class_weight")
        assert len(weights) == 1 + sum(
            model["panoptic_head"][f"num_{kind}_classes"] for kind in ("things", "stuff")
        )
        del model["panoptic_head"]["num_stuff_classes"]
        del model["panoptic_fusion_head"]["num_stuff_classes"]
        del model["data_preprocessor"]["pad_seg"]
        for pad in model["data_preprocessor"]["batch_augments"]:
            del pad["pad_seg"]
            pad.pop("seg_pad_value", None)
        del model["test_cfg"]["panoptic_on"], model["test_cfg"]["instance_on"]
    assert both[0] == both[1]


@pytest.mark.parametrize("path", leaves(lambda name: re.match(r"proscale-\d{3}_", name)))
def test_variants_are_their_schedule(path):
    schedule = load_config(path).model.panoptic_head.pixel_decoder.encoder.schedule
    assert schedule.type == "pro_scale"
    assert "".join(map(str, schedule.repeats)) == path.stem[len("proscale-") :][:3]


@pytest.mark.parametrize("path", leaves(lambda name: name.startswith("eco")))
def test_an_eco_config_has_exits_a_gate_and_step_as_loss(path):
    head = load_config(path).model.panoptic_head
    assert head.exit_loss == dict(type="mmproscale.MultiExitLoss")
    assert head.pixel_decoder.exit_gate == dict(type="ExitGate")
    kind = path.stem.partition("_")[0]
    schedule = build_schedule(head.pixel_decoder.encoder.schedule)
    expected = {"eco": (2, 3, 4, 5, 6), "eco-lite": (2, 3, 4, 5), "eco-proscale": (7, 8, 9)}[kind]
    if path.stem == "eco-proscale_m2f_r18_shapes":
        expected = (3, 4, 5, 6)
    assert choose_exits(schedule, None, gated=True) == expected


@pytest.mark.parametrize("path", leaves(lambda name: name.startswith(("eco_", "eco-proscale_"))))
def test_an_eco_config_differs_from_its_model_only_in_early_exits(path):
    without = path.with_name(path.name.replace("eco_", "").replace("eco-", ""))
    eco, model = read_parts(path), read_parts(without)
    eco["model"]["panoptic_head"].pop("exit_loss")
    decoders = [config["model"]["panoptic_head"]["pixel_decoder"] for config in (eco, model)]
    decoders[0].pop("exit_gate")
    if path.stem.endswith("_shapes"):  # which has more layers, for exits to choose from
        for decoder in decoders:
            decoder["encoder"].pop("schedule")
    assert eco == model


@pytest.mark.parametrize("path", leaves(lambda name: name.startswith("pem_")))
def test_a_pem_config_differs_from_proscales_only_in_head_backbone_and_recipe(path):
    r50 = re.sub("stdc.", "r50", path.name)
    pem, ours = read_parts(path), read_parts(path.with_name(r50.replace("pem_", "proscale_")))
    for config in (pem, ours):
        head = config["model"][head_of(path)]
        del head["pixel_decoder"], head["transformer_decoder"]
        if "stdc" in path.stem:
            del config["model"]["backbone"], head["in_channels"]
    if "r18" not in path.stem and "camvid" not in path.stem:
        assert (pem["auto_scale_lr"].pop("base_batch_size"), pem.pop("sync_bn")) == (32, "torch")
        ours.pop("sync_bn", None)
        assert pem["train_dataloader"].pop("batch_size") == 4
        rate = 7e-4 if "cityscapes" in path.stem else 4e-4
        assert pem["optim_wrapper"]["optimizer"].pop("lr") == rate
        schedules = [config.pop("param_scheduler") for config in (pem, ours)]
        assert schedules[0]["type"] == "CosineAnnealingLR"
        assert schedules[0]["end"] == schedules[1]["end"] == pem["train_cfg"]["max_iters"]
        del ours["auto_scale_lr"]["base_batch_size"], ours["train_dataloader"]["batch_size"]
        del ours["optim_wrapper"]["optimizer"]["lr"]
        if is_semantic(path):  # PEM has Mask2Former's crops, the others mmseg's
            for config, limit in ((pem, 1.0), (ours, 0.75)):
                pipeline = config["train_dataloader"]["dataset"]["pipeline"]
                assert pipeline[3].pop("cat_max_ratio") == limit
    assert pem == ours


def test_configs_that_are_tested_whole_exist():
    assert {path.stem for path in CONFIGS} >= WHOLE


def test_swin_l_has_200_queries_and_keeps_100_results():
    for path in [p for p in CONFIGS if "swin-l" in p.stem]:
        model = load_config(path).model
        assert (model.panoptic_head.num_queries, model.test_cfg.max_per_image) == (200, 100)
