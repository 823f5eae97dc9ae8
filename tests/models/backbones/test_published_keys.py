"""Converted backbones compute the same outputs under mmdet's names, bit for bit."""

import re
from collections.abc import Callable
from functools import partial

import pytest
import torch
from mmdet.models.backbones import ResNet, SwinTransformer
from mmdet.models.backbones.swin import swin_converter
from mmdet.models.layers.transformer.utils import PatchMerging
from mmengine.config import ConfigDict
from torch import nn

from mmproscale.checkpoints.foreign.conversion import convert_weights
from mmproscale.checkpoints.foreign.reading import tensors_of
from mmproscale.checkpoints.foreign.sources import SOURCES, recognise
from mmproscale.checkpoints.model_match import compare_weights
from mmproscale.errors import InputError
from mmproscale.models.backbones.published_keys import RESNET, SWIN
from mmproscale.utils.key_rules import map_keys, merge_channel_major

SWIN_T = partial(SwinTransformer, embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24))
SMALL_SWIN = partial(
    SwinTransformer,
    embed_dims=8,
    depths=(2, 1),
    num_heads=(1, 2),
    strides=(4, 2),
    out_indices=(0, 1),
)
RESNET_50 = partial(ResNet, depth=50)
FRESH = [f"norm{i}.{parameter}" for i in range(4) for parameter in ("weight", "bias")]
# mmdet's name -> the official one, each written out as the two repositories have it.
TO_OFFICIAL = [
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^stages\.", "layers."),
    (r"\.attn\.w_msa\.", ".attn."),
    (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
    (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
]


def backbone(build: Callable[..., nn.Module], **options) -> nn.Module:
    """A backbone whose weights, norms and statistics are all drawn at random."""
    model = build(**options)
    model.eval()  # returns nothing: mmdet overrides `train`
    for key, value in model.state_dict().items():
        if value.is_floating_point() and key not in FRESH:
            value.copy_(torch.rand_like(value) * 0.1 + (0.9 if value.ndim == 1 else -0.05))
    return model


def official_order(value: torch.Tensor) -> torch.Tensor:
    """Move mmdet's quadrants of a channel, (0,0), (0,1), (1,0), (1,1), to the official order."""
    channels = value.shape[-1] // 4
    quadrant_of = {0: 0, 1: 2, 2: 1, 3: 3}
    result = torch.empty_like(value)
    for channel in range(channels):
        for ours, theirs in quadrant_of.items():
            result[..., theirs * channels + channel] = value[..., 4 * channel + ours]
    return result


def official_swin(model: nn.Module) -> dict:
    """Return the weights of an mmdet Swin in the official repository's names and order."""
    weights = {}
    for key, value in model.state_dict().items():
        if key in FRESH:
            continue
        name = key
        for pattern, replacement in TO_OFFICIAL:
            name = re.sub(pattern, replacement, name)
        weights[name] = official_order(value) if ".downsample." in name else value
    weights["norm.weight"] = weights["norm.bias"] = torch.zeros(1)
    return weights | {"layers.0.blocks.1.attn_mask": torch.zeros(4, 49, 49)}


def moby(model: nn.Module) -> dict:
    """A file of MoBY's training: two encoders, projectors, a predictor and queues."""
    weights = {f"encoder.{key}": value for key, value in official_swin(model).items()}
    momentum = {f"encoder_k.{key}": torch.zeros(1) for key in official_swin(model)}
    names = ["projector.linear_hidden.1.weight", "projector_k.linear_out.bias"]
    names += ["predictor.linear_out.weight", "queue1", "queue2", "queue_ptr"]
    rest = {name: torch.zeros(1) for name in names}
    return {"model": weights | momentum | rest, "epoch": 299, "max_accuracy": 0.0}


def dino(model: nn.Module, prefix: str = "module.") -> dict:
    """A file of DINO's training: the teacher has the weights to convert."""
    teacher = {f"{prefix}backbone.{key}": value for key, value in model.state_dict().items()}
    student = {key: torch.zeros_like(value) for key, value in teacher.items()}
    head = {f"{prefix}head.mlp.0.weight": torch.zeros(1)}
    return {"student": student | head, "teacher": teacher | head, "optimizer": {}, "epoch": 800}


def convert(name: str, content: dict, prefix: str = "backbone.") -> dict:
    weights = tensors_of(content)
    assert recognise(weights) == name
    return {
        key.removeprefix(prefix): value
        for key, value in convert_weights(weights, name, None, source="a.pth").weights.items()
    }


def initialised(build: Callable[..., nn.Module], weights: dict, folder, **options) -> nn.Module:
    """A backbone that is initialised by init_cfg from a file of these weights."""
    path = folder / "converted.pth"
    torch.save({"state_dict": weights, "meta": {}}, path)
    options["init_cfg"] = ConfigDict(type="Pretrained", checkpoint=str(path))
    model = backbone(build, **options)
    try:
        model.init_weights()
    finally:
        path.unlink()
    return model


def assert_same_outputs(ours: nn.Module, theirs: nn.Module, size: int) -> None:
    image = torch.randn(1, 3, size, size)
    with torch.no_grad():
        for a, b in zip(ours(image), theirs(image), strict=True):
            assert torch.equal(a, b)


def refusal(name: str, content: dict) -> str:
    with pytest.raises(InputError) as caught:
        convert_weights(tensors_of(content), name, None, source="a.pth")
    text = str(caught.value)
    assert text.startswith(f"a.pth ({SOURCES[name].title}) does not fit this kind of backbone: ")
    assert "\n" not in text
    return text


def test_moby_swin_t(tmp_path):
    source = backbone(SWIN_T)
    weights = convert("moby", moby(source), prefix="")
    bare = {key.removeprefix("backbone."): value for key, value in weights.items()}
    match = compare_weights(source, bare)
    assert set(match.missing) == set(FRESH) and not match.unexpected and not match.reshaped
    model = initialised(SWIN_T, weights, tmp_path)
    assert_same_outputs(model, source, size=70)


def test_swin_as_published_for_classification(tmp_path):
    source = backbone(SMALL_SWIN)
    weights = official_swin(source) | {"head.weight": torch.zeros(1000, 16)}
    model = initialised(SMALL_SWIN, convert("swin", {"model": weights}, prefix=""), tmp_path)
    assert_same_outputs(model, source, size=36)


def test_converting_a_second_time_does_not_pass_for_loading(tmp_path):
    weights = convert("moby", moby(backbone(SMALL_SWIN)), prefix="")
    with pytest.raises(KeyError, match="relative_position_bias_table"):
        initialised(SMALL_SWIN, weights, tmp_path, convert_weights=True)


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_dino_resnet_50_takes_the_teacher(tmp_path, prefix):
    source = backbone(RESNET_50)
    weights = convert("dino-self-supervised", dino(source, prefix))
    assert compare_weights(source, weights).differences == ""
    assert_same_outputs(initialised(RESNET_50, weights, tmp_path), source, size=64)


@pytest.mark.parametrize("rest", [{}, {"fc.weight": torch.zeros(1)}], ids=["dino", "torchvision"])
def test_resnet_as_a_plain_state_dict(rest):
    source = backbone(partial(ResNet, depth=18))
    weights = convert("torchvision", source.state_dict() | rest)
    assert compare_weights(source, weights).differences == ""
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in weights.items())


def test_swin_comes_out_as_by_mmdets_own_conversion():
    official = official_swin(backbone(SMALL_SWIN))
    theirs = swin_converter(official)
    ours = convert("swin", {"model": official}, prefix="")
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_downsample_is_the_official_merge():
    channels, size = 3, 6
    norm, reduction = nn.LayerNorm(4 * channels), nn.Linear(4 * channels, 5, bias=False)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    tokens = torch.randn(2, size * size, channels)
    x = tokens.view(2, size, size, channels)
    corners = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
    expected = reduction(norm(torch.cat(corners, -1))).flatten(1, 2)

    theirs = {
        "norm.weight": norm.weight,
        "norm.bias": norm.bias,
        "reduction.weight": reduction.weight,
    }
    merging = PatchMerging(channels, 5)
    ours = {key: merge_channel_major(value) for key, value in theirs.items()}
    merging.load_state_dict(ours)
    output, _ = merging(tokens, (size, size))
    torch.testing.assert_close(output, expected)


def test_position_index_that_mmdet_builds_is_the_official_one():
    rows, columns = torch.meshgrid(torch.arange(7), torch.arange(7), indexing="ij")
    coordinates = torch.stack([rows.flatten(), columns.flatten()])
    distance = coordinates[:, :, None] - coordinates[:, None, :] + 6
    index = backbone(SMALL_SWIN).stages[0].blocks[0].attn.w_msa.relative_position_index
    assert torch.equal(index, distance[0] * 13 + distance[1])


@pytest.mark.parametrize(
    "rules, theirs",
    [(SWIN, official_swin), (RESNET, lambda model: model.state_dict())],
    ids=["swin", "resnet"],
)
def test_every_rule_is_used(rules, theirs):
    model = backbone(SMALL_SWIN if rules is SWIN else RESNET_50)
    for rule in rules:
        others = [other for other in rules if other is not rule]
        assert set(map_keys(theirs(model), others).unknown) > set(
            map_keys(theirs(model), rules).unknown
        ), rule


def test_every_pattern_of_what_is_left_out_is_used():
    files = {
        "moby": moby(backbone(SMALL_SWIN))["model"]
        | {"encoder.head.weight": torch.zeros(1), "encoder.x.num_batches_tracked": torch.zeros(1)},
        "dino-self-supervised": dino(backbone(RESNET_50), "")["teacher"]
        | {"layers.0.relative_position_index": torch.zeros(1), "a.attn_mask": torch.zeros(1)},
    }
    for name, weights in files.items():
        for pattern in SOURCES[name].dropped:
            assert any(re.fullmatch(pattern, key) for key in weights), pattern


def test_a_vision_transformer_is_unknown():
    names = ["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.norm1.weight"]
    assert recognise({name: torch.zeros(1) for name in names}) is None


def test_a_weight_too_many():
    content = dino(backbone(RESNET_50))
    content["teacher"]["module.backbone.attnpool.weight"] = torch.zeros(1)
    found = refusal("dino-self-supervised", content)
    assert "1 left over (backbone.attnpool.weight)" in found


def test_a_swin_with_batch_norm_before_its_mlps():
    content = moby(backbone(SMALL_SWIN))
    for key in [key for key in content["model"] if ".norm2." in key]:
        del content["model"][key]
    assert "3 missing (backbone.stages.0.blocks.0.norm2.weight, " in refusal("moby", content)


def test_a_part_of_a_backbone():
    stem = {"conv1.weight": torch.zeros(1), "layer1.0.conv1.weight": torch.zeros(1)}
    assert "missing (backbone.bn1.weight, " in refusal("torchvision", stem)


def test_a_projection_without_its_bias():
    content = moby(backbone(SMALL_SWIN))
    del content["model"]["encoder.layers.0.blocks.1.mlp.fc1.bias"]
    assert "1 missing (backbone.stages.0.blocks.1.ffn.layers.0.0.bias)" in refusal("moby", content)
