"""Exits and their gate: the authors' figures, and results that do not depend on the batch."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS

from mmproscale.errors import InputError
from mmproscale.models.encoders.exit_gate import ExitGate
from mmproscale.models.pixel_decoders.deformable_pixel_decoder import DeformablePixelDecoder

LAYER = dict(
    self_attn_cfg=dict(embed_dims=64, num_heads=8, num_levels=3, num_points=4, dropout=0.0),
    ffn_cfg=dict(embed_dims=64, feedforward_channels=128, num_fcs=2, ffn_drop=0.0),
)
SMALL = dict(
    in_channels=[16, 32, 64, 128],
    feat_channels=64,
    out_channels=64,
    positional_encoding=dict(num_feats=32, normalize=True),
)
M2F = dict(type="m2f", layers=6)
GATE = dict(type="ExitGate")
SCHEDULES = [
    M2F,
    dict(type="pro_scale", repeats=(1, 1, 4)),
    dict(type="lite", coarse_layers=5),
    dict(type="lite", coarse_layers=1, blocks=3, fine_channels=32),
]
# The official release's names -> ours.
OFFICIAL = [
    ("input_proj.{i}.0", "input_convs.{i}.conv"),
    ("input_proj.{i}.1", "input_convs.{i}.gn"),
    ("transformer.level_embed", "level_encoding.weight"),
    ("transformer.encoder.gt.head", "exit_gate.linear"),
    ("transformer.encoder.", "encoder."),
    ("norm1", "norms.0"),
    ("norm2", "norms.1"),
    ("linear1", "ffn.layers.0.0"),
    ("linear2", "ffn.layers.1"),
    ("adapter_1.norm", "lateral_convs.0.gn"),
    ("adapter_1", "lateral_convs.0.conv"),
    ("layer_1.norm", "output_convs.0.gn"),
    ("layer_1", "output_convs.0.conv"),
    ("mask_features", "mask_feature"),
]


def make(schedule=M2F, **arguments):
    """A decoder whose gate tells images apart."""
    encoder = dict(schedule=schedule, layer_cfg=copy.deepcopy(LAYER))
    decoder = DeformablePixelDecoder(encoder=encoder, **(SMALL | arguments)).eval()
    decoder.init_weights()
    for name, parameter in decoder.named_parameters():
        if "sampling_offsets.weight" in name or "attention_weights.weight" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    if decoder.exit_gate:
        torch.nn.init.normal_(decoder.exit_gate.linear.weight, std=50)
    return decoder


def backbone_maps(images=8, height=100, width=68):
    return [
        torch.randn(images, c, -(-height // s), -(-width // s)) + torch.randn(images, c, 1, 1)
        for c, s in zip((16, 32, 64, 128), (4, 8, 16, 32), strict=True)
    ]


def our_name(official):
    for theirs, ours in OFFICIAL:
        for i in range(3):
            official = official.replace(theirs.format(i=i), ours.format(i=i))
    return official


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "goldens" / "eco_official.npz")


@pytest.fixture(scope="module")
def official(golden):
    """Return the release's weights in our decoder."""
    decoder = make(exit_gate=GATE)
    weights = {our_name(k[2:]): torch.tensor(golden[k]) for k in golden.files if k[:2] == "w/"}
    decoder.load_state_dict(weights, strict=True)
    return decoder


def golden_image(golden, image):
    return [torch.tensor(golden[f"in/{image}/res{i}"]) for i in (2, 3, 4, 5)]


def assert_golden(tensor, golden, key):
    torch.testing.assert_close(tensor, torch.tensor(golden[key]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("image", range(4))
@torch.no_grad()
def test_gate_exit_and_outputs_are_the_releases(golden, official, image):
    feats = golden_image(golden, image)
    logits = official.exit_gate(official.gate_input(feats))
    assert_golden(logits, golden, f"out/{image}/gate_logits")
    exits, _, _ = official.embed(feats)
    assert exits == tuple(golden[f"out/{image}/exit_layers"])
    mask_features, maps = official(feats)
    assert_golden(mask_features, golden, f"out/{image}/mask_features")
    for level, feature_map in enumerate(maps):
        assert_golden(feature_map, golden, f"out/{image}/multi_scale_features{level}")


@torch.no_grad()
def test_the_releases_four_images_in_one_batch(golden, official):
    images = [golden_image(golden, image) for image in range(4)]
    exits, maps, _ = official.embed([torch.cat(maps) for maps in zip(*images, strict=True)])
    assert exits == (2, 3, 5, 6)
    for image in range(4):
        for level, feature_map in enumerate(maps):
            key = f"out/{image}/multi_scale_features{level}"
            assert_golden(feature_map[image : image + 1], golden, key)


@torch.no_grad()
def test_every_forced_exit_is_the_releases(golden, official, monkeypatch):
    feats = golden_image(golden, 0)
    for (exit_,), maps, _ in official.encode(feats, (2, 3, 4, 5, 6)):
        monkeypatch.setattr(official, "exit", exit_)
        taken, forced, _ = official.embed(feats)
        assert taken == (exit_,)
        for level in (0, 1):
            key = f"forced/exit{exit_}/multi_scale_features{level}"
            assert_golden(maps[level], golden, key)
            assert_golden(forced[level], golden, key)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s["type"])
@torch.no_grad()
def test_a_batch_of_eight_equals_eight_batches_of_one(schedule):
    recalibration = dict(type="TRC") if schedule["type"] == "pro_scale" else None
    decoder = make(schedule, exit_gate=GATE, recalibration=recalibration)
    feats = backbone_maps()
    exits, maps, embedding = decoder.embed(feats)
    assert len(set(exits)) > 1 and set(exits) <= set(decoder.exits)
    assert list(exits) != sorted(exits), "images must change places"
    for image in range(8):
        by_itself = decoder.embed([feat[image : image + 1] for feat in feats])
        assert by_itself[0] == exits[image : image + 1]
        for together, single in zip((*maps, embedding), (*by_itself[1], by_itself[2]), strict=True):
            torch.testing.assert_close(together[image : image + 1], single, rtol=0, atol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s["type"])
@torch.no_grad()
def test_each_image_has_what_encode_gives_at_its_exit(schedule):
    decoder = make(schedule, exit_gate=GATE)
    feats = backbone_maps(images=4)
    exits, maps, embedding = decoder.embed(feats)
    at_exits = {exits[0]: (*levels, e) for exits, levels, e in decoder.encode(feats, decoder.exits)}
    for image, exit_ in enumerate(exits):
        for ours, expected in zip((*maps, embedding), at_exits[exit_], strict=True):
            torch.testing.assert_close(ours[image], expected[image], rtol=0, atol=1e-5)


@torch.no_grad()
def test_layers_run_once_for_the_images_that_reach_them_and_the_tail_for_all():
    decoder = make(dict(type="lite", coarse_layers=5), exit_gate=GATE)
    decoder.image_exits = lambda images, features: (4, 2, 4, 5, 2)
    batches = {}
    for index, layer in enumerate(decoder.encoder.layers):
        layer.register_forward_hook(
            lambda _, inputs, __, index=index: batches.setdefault(index, []).append(len(inputs[0]))
        )
    decoder.embed(backbone_maps(images=5))
    assert batches == {0: [5], 1: [5], 2: [3], 3: [3], 4: [1], 5: [2, 2, 1]}


@torch.no_grad()
def test_one_exit_for_all_overrules_the_gate_only_in_evaluation():
    decoder = make(exit_gate=GATE, exit=4)
    feats = backbone_maps(images=3)
    assert decoder.embed(feats)[0] == (4, 4, 4)
    expected = next(decoder.encode(feats, (4,)))[2]
    torch.testing.assert_close(decoder.embed(feats)[2], expected, rtol=0, atol=1e-6)
    assert decoder.train().embed(feats)[0] == (6, 6, 6)
    assert make(exit=1).embed(feats)[0] == (1, 1, 1), "without a gate too"


@torch.no_grad()
def test_a_gate_that_has_not_learnt_sends_all_images_to_the_last_exit():
    decoder = make(exit_gate=GATE)
    decoder.init_weights()
    assert decoder.embed(backbone_maps(images=3))[0] == (6, 6, 6)
    assert not any(p.requires_grad for p in decoder.exit_gate.parameters())


@torch.no_grad()
def test_the_gate_sees_the_mean_of_the_coarsest_projected_map():
    decoder = make(exit_gate=GATE, recalibration=dict(type="TRC"))
    feats = backbone_maps(images=2)
    expected = decoder.input_convs[0](feats[3]).mean((2, 3))
    torch.testing.assert_close(decoder.gate_input(feats), expected)
    logits = decoder.exit_gate(expected)
    assert logits.shape == (2, 5)
    chosen = tuple(decoder.exits[index] for index in logits.argmax(1).tolist())
    assert decoder.embed(feats)[0] == chosen


@torch.no_grad()
def test_half_precision_changes_no_exit():
    gate, features = ExitGate(64, 5), torch.randn(50, 64)
    torch.nn.init.normal_(gate.linear.weight)
    with torch.autocast("cpu", torch.bfloat16):
        logits = gate(features)
    assert torch.equal(logits, gate(features))


@pytest.mark.parametrize(
    ("schedule", "arguments", "exits"),
    [
        (M2F, {}, (1, 2, 3, 4, 5, 6)),
        (M2F, dict(exit_gate=GATE), (2, 3, 4, 5, 6)),
        (M2F, dict(exit_gate=GATE, exits=(5, 1, 3)), (1, 3, 5)),
        (dict(type="lite", coarse_layers=5), dict(exit_gate=GATE), (2, 3, 4, 5)),
        (dict(type="pro_scale", repeats=(3, 3, 3)), dict(exit_gate=GATE), (7, 8, 9)),
    ],
)
def test_exits(schedule, arguments, exits):
    decoder = make(schedule, **arguments)
    assert decoder.exits == exits
    if decoder.exit_gate:
        assert decoder.state_dict()["exit_gate.linear.weight"].shape == (len(exits), 64)


@pytest.mark.parametrize(
    ("schedule", "arguments", "message"),
    [
        (
            dict(type="pro_scale", repeats=(1, 1, 1)),
            dict(exit_gate=GATE),
            "exit_gate has no choice",
        ),
        (M2F, dict(exit_gate=GATE, exits=(4,)), "exit_gate has no choice"),
        (dict(type="m2f", layers=2), dict(exit_gate=GATE), r"legal exits \(1, 2\), and exits=None"),
        (dict(type="lite", coarse_layers=5), dict(exits=(2, 6)), r"no exit \[6\]"),
        (M2F, dict(exit=7), r"no exit \[7\]: its legal exits are \(1, 2, 3, 4, 5, 6\)"),
        (M2F, dict(exit=4.0), r"no exit \[4.0\]"),
        (M2F, dict(exits=()), "no exit"),
        (M2F, dict(exit_gate=dict(num_exits=3)), "without a type"),
    ],
)
def test_exits_that_cannot_be_are_said_in_one_line(schedule, arguments, message):
    with pytest.raises(InputError, match=message) as error:
        make(schedule, **arguments)
    assert "\n" not in str(error.value)


def test_registered():
    gate = MODELS.build(dict(type="mmproscale.ExitGate", embed_dims=8, num_exits=3))
    assert set(gate.state_dict()) == {"linear.weight", "linear.bias"}
