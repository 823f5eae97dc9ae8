"""Every config in configs/ builds, steps once, saves, loads and dumps; twins differ as they say."""

from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData

from mmproscale.apis.config import load_config

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.py"))
TWINS = [path for path in CONFIGS if path.stem.startswith("m2f_")]
# Weights are not fetched in a test, and nine decoder layers at 1024 pixels say no more than these.
SMALL = {
    "model.backbone.init_cfg": None,
    "model.train_cfg.num_points": 64,
    "model.data_preprocessor.batch_augments": None,
}


def build(path: Path):
    config = load_config(path, SMALL)
    init_default_scope("mmdet")
    model = MODELS.build(config.model)
    model.init_weights()
    return config, model


def one_image(num_things: int, size: int = 64) -> dict:
    """Noise with one thing on the left and the first stuff class elsewhere."""
    labels = torch.full((1, size, size), num_things)
    labels[:, :, : size // 2] = 0
    sample = DetDataSample(metainfo=dict(img_shape=(size, size), ori_shape=(size, size)))
    mask = (labels == 0).numpy().astype("uint8")
    sample.gt_instances = InstanceData(
        labels=torch.zeros(1, dtype=torch.long), masks=BitmapMasks(mask, size, size)
    )
    sample.gt_sem_seg = PixelData(sem_seg=labels)
    image = torch.randint(0, 255, (3, size, size), dtype=torch.uint8)
    return dict(inputs=[image], data_samples=[sample])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_config_builds_steps_saves_loads_and_dumps(path, tmp_path):
    config, model = build(path)
    optim_wrapper = build_optim_wrapper(model, config.optim_wrapper)
    # Batch norm needs more than one value per channel where maps shrink to a pixel.
    batch = one_image(config.num_things_classes)
    batch = dict(inputs=batch["inputs"] * 2, data_samples=batch["data_samples"] * 2)
    losses = model.train_step(batch, optim_wrapper)
    assert all(torch.isfinite(loss).all() for loss in losses.values())

    torch.save(model.state_dict(), tmp_path / "weights.pth")
    _, again = build(path)
    again.load_state_dict(torch.load(tmp_path / "weights.pth", weights_only=True), strict=True)
    model.eval(), again.eval()
    batch = one_image(config.num_things_classes)
    results = [m.test_step(batch)[0].pred_panoptic_seg.sem_seg for m in (model, again)]
    assert torch.equal(results[0], results[1])

    config.dump(tmp_path / "dumped.py")
    assert Config.fromfile(tmp_path / "dumped.py").to_dict() == config.to_dict()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_parameter_has_a_gradient_but_for_what_is_frozen(path):
    config, model = build(path)
    batch = one_image(config.num_things_classes)
    batch = dict(inputs=batch["inputs"] * 2, data_samples=batch["data_samples"] * 2)
    data = model.data_preprocessor(batch, training=True)
    sum(v for k, v in model(**data, mode="loss").items() if "loss" in k).backward()
    missing = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert not missing


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_neither_norms_nor_embeddings_decay_and_a_pretrained_backbone_learns_slower(path):
    config, model = build(path)
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    settings = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    norms = (torch.nn.LayerNorm, torch.nn.GroupNorm, torch.nn.BatchNorm2d)
    for name, module in model.named_modules():
        if isinstance(module, (*norms, torch.nn.Embedding)):
            for parameter in module.parameters():
                frozen = not parameter.requires_grad
                assert frozen or settings[id(parameter)]["weight_decay"] == 0, name
    pretrained = "r18" not in path.stem
    expected = config.optim_wrapper.optimizer.lr * (0.1 if pretrained else 1.0)
    rates = {settings[id(p)]["lr"] for p in model.backbone.parameters() if p.requires_grad}
    assert rates == {expected}


@pytest.mark.parametrize(
    "path", [p for p in CONFIGS if p.stem.startswith("m2f_")], ids=lambda p: p.stem
)
def test_a_twin_differs_in_the_pixel_decoder_alone(path):
    twin = Config.fromfile(path).to_dict()
    ours = Config.fromfile(path.with_name(f"proscale_{path.name}")).to_dict()
    decoders = [c["model"]["panoptic_head"].pop("pixel_decoder") for c in (twin, ours)]
    assert twin == ours
    schedules = [decoder["encoder"].pop("schedule")["type"] for decoder in decoders]
    types = [decoder.pop("type").rpartition(".")[2] for decoder in decoders]
    assert schedules == ["m2f", "pro_scale"]
    assert types == ["DeformablePixelDecoder", "ProScalePixelDecoder"]
    assert decoders[0] == decoders[1]


@pytest.mark.parametrize("backbone", ["r50", "swin-t"])
@pytest.mark.parametrize("repeats", [(1, 1, 1), (2, 2, 2)])
def test_variants_are_their_schedule(backbone, repeats):
    name = f"proscale-{''.join(map(str, repeats))}_m2f_{backbone}_coco"
    path = next(p for p in CONFIGS if p.stem == name)
    schedule = load_config(path).model.panoptic_head.pixel_decoder.encoder.schedule
    assert tuple(schedule.repeats) == repeats
    assert len(path.read_text().splitlines()) <= 3
