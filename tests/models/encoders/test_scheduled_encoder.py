"""The encoder loop against what a schedule says, written out plainly."""

import numpy as np
import pytest
import torch

from mmproscale.errors import InputError
from mmproscale.models.encoders.scheduled_encoder import ScheduledEncoder
from mmproscale.models.layers.token_layout import TokenLayout

SHAPES = {32: (2, 3), 16: (4, 5), 8: (7, 9)}
LAYOUT = TokenLayout(tuple(SHAPES), tuple(SHAPES.values()))
LAYER = dict(
    self_attn_cfg=dict(embed_dims=32, num_heads=4, num_levels=3, num_points=2, dropout=0.0),
    ffn_cfg=dict(embed_dims=32, feedforward_channels=48, num_fcs=2),
)
SCHEDULES = [
    dict(type="m2f", layers=3),
    dict(type="pro_scale", repeats=(2, 1, 2)),
    dict(type="lite", coarse_layers=3),
    # Levels that are no neighbours, and a level that is read before it is updated.
    dict(
        type="stages",
        stages=[
            dict(queries=(32, 8), keys=(32, 16)),
            dict(queries=16, keys=(32, 16, 8), repeats=2),
        ],
        tail=1,
    ),
    dict(type="lite", coarse_layers=1, blocks=2, fine_channels=16),
    # Feed-forwards of their own for levels that are no neighbours in the sequence.
    dict(
        type="stages",
        stages=[
            dict(
                queries=(32, 16, 8),
                keys=(32, 16, 8),
                feedforwards=[dict(levels=16, channels=8), dict(levels=8, channels=24)],
            ),
        ],
    ),
]


def make(config):
    encoder = ScheduledEncoder(config, LAYER).eval()
    for layer in encoder.layers:
        # mmcv starts offsets and weights at zero; move them so that every input matters.
        torch.nn.init.normal_(layer.self_attn.sampling_offsets.weight, std=0.2)
        torch.nn.init.normal_(layer.self_attn.attention_weights.weight, std=0.2)
    tokens = {s: torch.randn(2, h * w, 32) for s, (h, w) in SHAPES.items()}
    pos = {s: torch.randn(1, h * w, 32) for s, (h, w) in SHAPES.items()}
    gates = {s: torch.rand(2, h * w, 1) for s, (h, w) in SHAPES.items() if s != 8}
    return encoder, tokens, pos, gates


def plain(encoder, tokens, pos, gates, layers):
    """Encode by the definition: one layer after the other, levels joined again for each layer."""
    tokens, gates = dict(tokens), dict(gates)
    for index in layers:
        stage = encoder.schedule.layers[index]
        for stride in stage.queries:
            tokens[stride] = tokens[stride] * gates.pop(stride, 1.0)
        queries = torch.cat([tokens[s] for s in stage.queries], 1)
        keys = torch.cat([tokens[s] for s in stage.keys], 1)
        out = encoder.layers[index](
            queries,
            keys,
            torch.cat([pos[s] for s in stage.queries], 1),
            LAYOUT.reference_points(stage.queries, stage.keys, like=queries),
            LAYOUT.shapes_of(stage.keys),
            [(stage.feedforward_index(s), LAYOUT.num_tokens(s)) for s in stage.queries],
        )
        tokens.update(LAYOUT.split(out, stage.queries))
    return tokens


IDS = [f"{number}-{config['type']}" for number, config in enumerate(SCHEDULES)]


@pytest.mark.parametrize("config", SCHEDULES, ids=IDS)
@torch.no_grad()
def test_every_exit_is_its_layers_and_the_tail(config):
    encoder, tokens, pos, gates = make(config)
    schedule = encoder.schedule
    tail = range(schedule.num_layers - schedule.tail, schedule.num_layers)
    seen = []
    for exit_, encoded in encoder.encode(tokens, pos, LAYOUT, gates, schedule.exits):
        expected = plain(encoder, tokens, pos, gates, [*range(exit_), *tail])
        assert encoded.keys() == expected.keys()
        for stride in SHAPES:
            torch.testing.assert_close(encoded[stride], expected[stride], rtol=0, atol=1e-6)
        seen.append(exit_)
    assert tuple(seen) == schedule.exits


@pytest.mark.parametrize("config", SCHEDULES, ids=IDS)
@torch.no_grad()
def test_an_images_tokens_do_not_depend_on_its_batch(config):
    encoder, tokens, pos, gates = make(config)
    together = encoder(tokens, pos, LAYOUT, gates)
    single = encoder(
        {s: t[1:] for s, t in tokens.items()}, pos, LAYOUT, {s: g[1:] for s, g in gates.items()}
    )
    for stride in SHAPES:
        torch.testing.assert_close(together[stride][1:], single[stride], rtol=0, atol=1e-5)


def test_levels_that_no_stage_updates_yet_pass_through_untouched():
    encoder, tokens, pos, gates = make(dict(type="pro_scale", repeats=(1, 1, 1)))
    encoded, _ = encoder._run(range(1), tokens, pos, LAYOUT, gates)
    assert torch.equal(encoded[8], tokens[8]) and torch.equal(encoded[16], tokens[16])
    assert not torch.equal(encoded[32], tokens[32])


@pytest.mark.parametrize(
    "config",
    [
        dict(type="pro_scale", repeats=(1, 1, 2)),
        dict(type="lite", coarse_layers=2, fine_channels=16),
    ],
    ids=lambda c: c["type"],
)
def test_every_parameter_gets_a_gradient(config):
    encoder, tokens, pos, gates = make(config)
    sum(t.square().sum() for t in encoder(tokens, pos, LAYOUT, gates).values()).backward()
    missing = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missing


@torch.no_grad()
def test_a_level_with_a_feed_forward_of_its_own_goes_only_through_that():
    encoder, tokens, pos, _ = make(dict(type="lite", coarse_layers=1, fine_channels=16))
    before = encoder(tokens, pos, LAYOUT)
    full = encoder.layers[1]
    assert full.own_ffns[0].layers[0][0].out_features == 16
    full.ffn.layers[1].weight.zero_(), full.norms[1].bias.add_(1)
    after = encoder(tokens, pos, LAYOUT)
    assert torch.equal(after[8], before[8])
    assert not torch.equal(after[16], before[16])


LITE_DETR_NAMES = {
    "norm1": "norms.0",
    "norm2": "norms.1",
    "linear1": "ffn.layers.0.0",
    "linear2": "ffn.layers.1",
    "linear12": "own_ffns.0.layers.0.0",
    "linear22": "own_ffns.0.layers.1",
    "norm22": "own_norms.0",
}


def lite_detr_weights(golden, prefix):
    """Weights by our names; a query projection that this attention does not use is left out."""
    weights = {}
    for key in golden.files:
        if key.startswith(prefix) and "query_proj" not in key:
            layers, index, module, *rest = key.removeprefix(prefix).split(".")
            module = LITE_DETR_NAMES.get(module, module)
            weights[".".join([layers, index, module, *rest])] = torch.from_numpy(golden[key])
    return weights


@torch.no_grad()
def test_lite_detr_is_a_schedule_with_a_small_feed_forward_on_low_level_tokens(shared):
    golden = np.load(shared / "goldens" / "lite_detr.npz")
    channels = golden["in/src"].shape[-1]
    layer = dict(
        self_attn_cfg=dict(embed_dims=channels, num_heads=8, num_levels=4, num_points=4, dropout=0),
        ffn_cfg=dict(embed_dims=channels, feedforward_channels=64, num_fcs=2),
    )
    schedule = dict(
        type="lite", coarse_layers=1, blocks=3, levels=(64, 32, 16, 8), fine_channels=channels
    )
    encoder = ScheduledEncoder(schedule, layer).eval()
    encoder.load_state_dict(lite_detr_weights(golden, "w/h3l1_2p1x3_msda/"))
    shapes = tuple(tuple(int(n) for n in shape) for shape in golden["in/spatial_shapes"])
    # As mmdet's DINO: from high resolution to low.
    layout = TokenLayout((8, 16, 32, 64), shapes)
    tokens = layout.split(torch.from_numpy(golden["in/src"]), layout.strides)
    pos = layout.split(torch.from_numpy(golden["in/pos"]), layout.strides)
    out = encoder(tokens, pos, layout)
    memory = torch.cat([out[stride] for stride in layout.strides], dim=1)
    expected = torch.from_numpy(golden["out/h3l1_2p1x3_msda/memory"])
    torch.testing.assert_close(memory, expected, rtol=0, atol=1e-4)


def test_num_levels_that_are_not_the_schedules_are_refused():
    with pytest.raises(InputError, match=r"num_levels=3.*has 4 levels"):
        ScheduledEncoder(dict(type="m2f", layers=1, levels=(64, 32, 16, 8)), LAYER)


@torch.no_grad()
def test_images_of_several_sizes_leave_by_their_own_exits_as_in_batches_of_one():
    encoder, tokens, _, gates = make(dict(type="lite", coarse_layers=3))
    count = sum(h * w for h, w in SHAPES.values())
    pos = {s: torch.randn(2, h * w, 32) for s, (h, w) in SHAPES.items()}
    layout = TokenLayout(
        LAYOUT.strides,
        LAYOUT.shapes,
        padding=torch.rand(2, count) < 0.3,
        valid_ratios=torch.rand(2, 3, 2) / 2 + 0.5,
    )
    together = encoder.encode_images(tokens, pos, layout, gates, exits=(3, 1))
    for image, exit_ in enumerate((3, 1)):
        one = slice(image, image + 1)
        single = [{s: t[one] for s, t in levels.items()} for levels in (tokens, pos)]
        gate = {s: g[one] for s, g in gates.items()}
        _, expected = next(encoder.encode(*single, layout.select_images(one), gate, (exit_,)))
        for stride in SHAPES:
            torch.testing.assert_close(together[stride][one], expected[stride], rtol=0, atol=1e-5)
