"""The encoder loop against what a schedule says, written out plainly."""

import pytest
import torch

from mmproscale.errors import InputError
from mmproscale.pixel_decoders.scheduled_encoder import ScheduledEncoder
from mmproscale.pixel_decoders.token_layout import TokenLayout

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
    """The definition: one layer after the other, all levels joined anew for each."""
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
            LAYOUT.reference_points(stage.queries, like=queries),
            LAYOUT.shapes_of(stage.keys),
        )
        tokens.update(LAYOUT.split(out, stage.queries))
    return tokens


@pytest.mark.parametrize("config", SCHEDULES, ids=lambda c: c["type"])
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


@pytest.mark.parametrize("config", SCHEDULES, ids=lambda c: c["type"])
@torch.no_grad()
def test_an_images_tokens_do_not_depend_on_its_batch(config):
    encoder, tokens, pos, gates = make(config)
    together = encoder(tokens, pos, LAYOUT, gates)
    alone = encoder(
        {s: t[1:] for s, t in tokens.items()}, pos, LAYOUT, {s: g[1:] for s, g in gates.items()}
    )
    for stride in SHAPES:
        torch.testing.assert_close(together[stride][1:], alone[stride], rtol=0, atol=1e-5)


def test_levels_that_no_stage_updates_yet_pass_through_untouched():
    encoder, tokens, pos, gates = make(dict(type="pro_scale", repeats=(1, 1, 1)))
    encoded, _ = encoder._run(range(1), tokens, pos, LAYOUT, gates)
    assert torch.equal(encoded[8], tokens[8]) and torch.equal(encoded[16], tokens[16])
    assert not torch.equal(encoded[32], tokens[32])


def test_every_parameter_gets_a_gradient():
    encoder, tokens, pos, gates = make(dict(type="pro_scale", repeats=(1, 1, 2)))
    sum(t.square().sum() for t in encoder(tokens, pos, LAYOUT, gates).values()).backward()
    missing = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missing


def test_num_levels_that_are_not_the_schedules_are_refused():
    with pytest.raises(InputError, match=r"num_levels=3.*has 4 levels"):
        ScheduledEncoder(dict(type="m2f", layers=1, levels=(64, 32, 16, 8)), LAYER)
