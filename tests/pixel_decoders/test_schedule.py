"""Schedules: what they say, what they refuse, and that their cost is the traced one."""

import pytest
from fvcore.nn import FlopCountAnalysis
from torch import nn

from mmproscale.errors import InputError
from mmproscale.pixel_decoders.schedule import Schedule, Stage, build_schedule

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


REFUSED = {
    "no layers": dict(type="stages", stages=[]),
    "reads level 8": dict(type="stages", stages=[dict(queries=(32,), keys=(32, 8))]),
    "names a level twice": dict(type="stages", stages=[dict(queries=(8, 8), keys=(8,))]),
    "must name levels by stride": dict(type="stages", stages=[dict(queries=(), keys=(8,))]),
    "queries='8'": dict(type="stages", stages=[dict(queries="8", keys=(8,))]),
    "repeats=0": dict(type="pro_scale", repeats=(0, 1, 1)),
    "repeats=1.5": dict(type="pro_scale", repeats=(1.5, 1, 1)),
    "one number for each": dict(type="pro_scale", repeats=(3, 3)),
    "layers=-1|repeats=-1": dict(type="m2f", layers=-1),
    "tail=2": dict(type="stages", stages=[dict(queries=8, keys=8, repeats=2)], tail=2),
    "num_fine=3": dict(type="lite", num_fine=3),
    "must be a dict with a type": dict(type="proscale", repeats=(3, 3, 3)),
    "unexpected keyword": dict(type="m2f", num_layers=6),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_schedule_that_cannot_be_is_refused_when_built(fault):
    with pytest.raises(InputError, match=fault) as caught:
        build_schedule(REFUSED[fault])
    assert "\n" not in str(caught.value)


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
    self_attn_cfg=dict(embed_dims=64, num_heads=8, num_levels=3, num_points=4, dropout=0.0),
    ffn_cfg=dict(embed_dims=64, feedforward_channels=96, num_fcs=2),
)


class Encode(nn.Module):
    def __init__(self, encoder, layout, pos):
        super().__init__()
        self.encoder, self.layout, self.pos = encoder, layout, pos

    def forward(self, *tokens):
        tokens = dict(zip(self.layout.strides, tokens, strict=True))
        return list(self.encoder(tokens, self.pos, self.layout).values())


@pytest.mark.parametrize(
    "config",
    [
        dict(type="m2f", layers=2),
        dict(type="pro_scale", repeats=(2, 1, 1)),
        dict(type="lite", coarse_layers=2),
    ],
)
def test_predicted_cost_is_the_traced_cost(config):
    import torch

    from mmproscale.pixel_decoders.scheduled_encoder import ScheduledEncoder
    from mmproscale.pixel_decoders.token_layout import TokenLayout

    shapes = {32: (3, 5), 16: (5, 9), 8: (9, 17)}
    layout = TokenLayout(tuple(shapes), tuple(shapes.values()))
    encoder = ScheduledEncoder(config, LAYER).eval()
    pos = {s: torch.zeros(1, h * w, 64) for s, (h, w) in shapes.items()}
    inputs = tuple(torch.randn(1, h * w, 64) for h, w in shapes.values())
    counted = FlopCountAnalysis(Encode(encoder, layout, pos), inputs)
    counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    predicted = encoder.schedule.cost(shapes, embed_dims=64, feedforward_channels=96)
    sampling = sum(v for k, v in counted.by_operator().items() if k in ("grid_sampler", "mul"))
    assert sum(predicted) == counted.total() - sampling
