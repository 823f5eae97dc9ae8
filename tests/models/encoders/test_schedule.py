"""Schedules: what they say, what they refuse, and that their cost is the traced one."""

import copy
import random

import pytest
import torch
from torch import nn

from mmproscale.cost.operations import count_operations
from mmproscale.errors import InputError
from mmproscale.models.encoders.schedule import Schedule, Stage, build_schedule
from mmproscale.models.encoders.scheduled_encoder import ScheduledEncoder
from mmproscale.models.layers.token_layout import TokenLayout
from mmproscale.ops import attention_backend

SWIN_T_CITYSCAPES = {32: (32, 64), 16: (64, 128), 8: (128, 256)}


def test_pro_scale_grows_by_one_level_a_stage():
    schedule = build_schedule(dict(type="pro_scale", repeats=(3, 1, 2)))
    assert [s.queries for s in schedule.stages] == [(32,), (32, 16), (32, 16, 8)]
    assert [s.keys for s in schedule.stages] == [(32,), (32, 16), (32, 16, 8)]
    assert [s.repeats for s in schedule.stages] == [3, 1, 2]
    assert schedule.num_layers == 6
    assert "PRO-SCALE (3,1,2)" in str(schedule)


def test_pro_scale_of_detection_grows_by_groups_of_levels():
    schedule = build_schedule(dict(type="pro_scale", repeats=(3, 3, 3), levels=((64, 32), 16, 8)))
    assert [s.queries for s in schedule.stages] == [(64, 32), (64, 32, 16), (64, 32, 16, 8)]


@pytest.mark.parametrize(
    ("config", "exits"),
    [
        (dict(type="m2f", layers=6), (1, 2, 3, 4, 5, 6)),
        (dict(type="pro_scale", repeats=(3, 3, 3)), (7, 8, 9)),
        (dict(type="lite", coarse_layers=5), (1, 2, 3, 4, 5)),
    ],
)
def test_an_image_may_leave_once_every_level_is_updated_or_before_the_tail(config, exits):
    assert build_schedule(config).exits == exits


def test_cost_is_mask2formers_published_encoder_layer():
    costs = build_schedule(dict(type="m2f", layers=6)).cost(SWIN_T_CITYSCAPES)
    assert sum(costs) / 1e9 == pytest.approx(188.8, abs=0.05)


def test_growing_tokens_cost_what_each_stage_holds():
    schedule = build_schedule(dict(type="pro_scale", repeats=(1, 1, 1)))
    tokens = [32 * 64, 32 * 64 + 64 * 128, 32 * 64 + 64 * 128 + 128 * 256]
    assert schedule.token_counts(SWIN_T_CITYSCAPES) == tuple((n, n) for n in tokens)


FULL = dict(queries=(32, 16, 8), keys=(32, 16, 8))
OWN = dict(levels=8, channels=256)
REFUSED = [
    ("has no layers", dict(type="stages", stages=[])),
    ("stages", dict(type="stages", stages=None)),
    (
        "missing 1 required positional argument: 'keys'",
        dict(type="stages", stages=[{"queries": 8}]),
    ),
    ("unexpected keyword argument 'key'", dict(type="stages", stages=[dict(queries=8, key=8)])),
    ("must be a mapping", dict(type="stages", stages=[(32, 16)])),
    ("reads level 8", dict(type="stages", stages=[dict(queries=(32,), keys=(32, 8))])),
    ("names a level twice", dict(type="stages", stages=[dict(queries=(8, 8), keys=(8,))])),
    ("keys=.* must name levels by stride", dict(type="stages", stages=[dict(queries=8, keys=())])),
    ("queries='8'", dict(type="stages", stages=[dict(queries="8", keys=(8,))])),
    ("queries=-8", dict(type="stages", stages=[dict(queries=-8, keys=-8)])),
    ("queries=\\(8.0,\\)", dict(type="stages", stages=[dict(queries=(8.0,), keys=8)])),
    ("queries=8.5", dict(type="stages", stages=[dict(queries=8.5, keys=8)])),
    ("queries=True", dict(type="stages", stages=[dict(queries=True, keys=8)])),
    ("tail=2", dict(type="stages", stages=[dict(queries=8, keys=8, repeats=2)], tail=2)),
    ("tail=-1", dict(type="stages", stages=[dict(queries=8, keys=8, repeats=2)], tail=-1)),
    ("each once", dict(type="stages", stages=[dict(FULL, feedforwards=[OWN, OWN])])),
    (
        "among the queries",
        dict(type="stages", stages=[dict(FULL, feedforwards=[dict(levels=4, channels=9)])]),
    ),
    (
        "no level to the layer's feed-forward",
        dict(type="stages", stages=[dict(queries=8, keys=8, feedforwards=[OWN])]),
    ),
    (
        "channels=0",
        dict(type="stages", stages=[dict(FULL, feedforwards=[dict(levels=8, channels=0)])]),
    ),
    (
        "unexpected keyword argument 'width'",
        dict(type="stages", stages=[dict(FULL, feedforwards=[dict(levels=8, width=9)])]),
    ),
    ("repeats=0", dict(type="pro_scale", repeats=(0, 1, 1))),
    ("repeats=1.5", dict(type="pro_scale", repeats=(1.5, 1, 1))),
    ("one number for each", dict(type="pro_scale", repeats=(3, 3))),
    ("one number for each", dict(type="pro_scale", repeats=3)),
    ("one number for each", dict(type="pro_scale", repeats=(3, 3, 3), levels=(32, 16))),
    ("names a level twice", dict(type="pro_scale", repeats=(3, 3), levels=(32, (32, 16)))),
    ("repeats=-1", dict(type="m2f", layers=-1)),
    ("levels=\\(\\)", dict(type="m2f", levels=())),
    ("unexpected keyword argument 'num_layers'", dict(type="m2f", num_layers=6)),
    ("num_fine=3", dict(type="lite", num_fine=3)),
    ("num_fine=True", dict(type="lite", num_fine=True)),
    ("repeats=0", dict(type="lite", coarse_layers=0)),
    ("blocks=0", dict(type="lite", blocks=0)),
    ("channels=64.0", dict(type="lite", fine_channels=64.0)),
    ("must be a dict with a type", dict(type="proscale", repeats=(3, 3, 3))),
    ("must be a dict with a type", dict(repeats=(3, 3, 3))),
    ("must be a dict with a type", "pro_scale"),
]


@pytest.mark.parametrize(("fault", "config"), REFUSED, ids=range(len(REFUSED)))
def test_a_schedule_that_cannot_be_is_refused_when_built(fault, config):
    with pytest.raises(InputError, match=fault) as caught:
        build_schedule(config)
    message = str(caught.value)
    assert "\n" not in message
    assert f"schedule={config!r}" in message


def test_a_schedule_built_in_code_prints_itself_with_its_fault():
    with pytest.raises(InputError, match=r"schedule mine \[32,16 <- 32,8 x2\] reads level 8"):
        Schedule((Stage((32, 16), (32, 8), 2),), name="mine")


def test_a_level_without_a_map_and_an_illegal_exit_are_named():
    schedule = build_schedule(dict(type="pro_scale", repeats=(3, 3, 3)))
    with pytest.raises(InputError, match=r"PRO-SCALE \(3,3,3\).*level 8.*no map"):
        schedule.check_maps((4, 16, 32))
    with pytest.raises(InputError, match=r"no exit \[2\].*\(7, 8, 9\)"):
        schedule.check_exits((2, 9))


def test_levels_are_kept_from_low_resolution_to_high():
    assert Stage((8, 32, 16), (16, 32, 8)) == Stage((32, 16, 8), (32, 16, 8))
    assert Schedule((Stage((8,), (8,)), Stage((16, 8), (8, 16)))).strides == (16, 8)


LAYER = dict(
    self_attn_cfg=dict(embed_dims=16, num_heads=2, num_levels=3, num_points=2, dropout=0.0),
    ffn_cfg=dict(embed_dims=16, feedforward_channels=24, num_fcs=2),
)
DIMS = dict(embed_dims=16, num_heads=2, num_points=2, feedforward_channels=24)
LEVELS = (64, 32, 16, 8)


def random_config(rng: random.Random) -> dict:
    """Any valid schedule of one to four stages over two to four levels."""
    levels = rng.sample(LEVELS, rng.randint(2, 4))
    stages = [random_stage(rng, levels) for _ in range(rng.randint(1, 3))]
    stages.append(dict(queries=levels, keys=rng.sample(levels, rng.randint(1, len(levels)))))
    rng.shuffle(stages)
    layers = sum(stage.get("repeats", 1) for stage in stages)
    return dict(type="stages", stages=stages, tail=rng.randrange(layers))


def random_stage(rng: random.Random, levels: list[int]) -> dict:
    queries = rng.sample(levels, rng.randint(1, len(levels)))
    keys = rng.sample(levels, rng.randint(1, len(levels)))
    own = [dict(levels=s, channels=rng.randint(1, 40)) for s in queries[1:] if rng.random() < 0.3]
    return dict(queries=queries, keys=keys, repeats=rng.randint(1, 3), feedforwards=own)


class Encode(nn.Module):
    def __init__(self, encoder, layout, pos):
        super().__init__()
        self.encoder, self.layout, self.pos = encoder, layout, pos

    def forward(self, *tokens):
        tokens = dict(zip(self.layout.strides, tokens, strict=True))
        return list(self.encoder(tokens, self.pos, self.layout).values())


def counted_and_seen(config, shapes):
    """(multiply-accumulates of each layer, (query, key) tokens of each layer) of a real run."""
    layout = TokenLayout(tuple(shapes), tuple(shapes.values()))
    layer = copy.deepcopy(LAYER)
    layer["self_attn_cfg"]["num_levels"] = len(shapes)
    encoder = ScheduledEncoder(config, layer).eval()
    pos = {s: torch.zeros(1, h * w, 16) for s, (h, w) in shapes.items()}
    inputs = tuple(torch.zeros(1, h * w, 16) for h, w in shapes.values())
    seen = []
    for one in encoder.layers:
        one.self_attn.register_forward_pre_hook(
            lambda _, args: seen.append((args[0].shape[1], args[1].shape[1]))
        )
    with attention_backend("torch"):
        counts, _ = count_operations(Encode(encoder, layout, pos).requires_grad_(False), *inputs)
    layers = [counts.of(f"encoder.layers.{index}") for index in range(len(encoder.layers))]
    assert sum(layers) == counts.of("")
    return tuple(layers), tuple(seen)


@pytest.mark.slow
def test_predicted_tokens_and_cost_of_500_schedules_are_those_seen():
    rng = random.Random(0)
    for _ in range(500):
        config = random_config(rng)
        schedule = build_schedule(config)
        height, width = rng.randrange(33, 200, 2), rng.randrange(33, 200, 2)
        shapes = {s: (-(-height // s), -(-width // s)) for s in schedule.strides}
        cost, tokens = counted_and_seen(config, shapes)
        assert schedule.token_counts(shapes) == tokens, config
        assert schedule.cost(shapes, **DIMS) == cost, config
