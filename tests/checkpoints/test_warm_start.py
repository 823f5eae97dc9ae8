"""Start of a cheap encoder from a Mask2Former's weights: equal where the schedule allows it."""

import pytest
import torch
from helpers.hub_models import hub_model, our_config

from mmproscale.checkpoints.any_source import convert_checkpoint, load_source
from mmproscale.checkpoints.warm_start import source_layer, warm_start
from mmproscale.cost.random_model import build_model, model_without_weights
from mmproscale.utils.config import load_config

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
DECODER = "panoptic_head.pixel_decoder."


def model_of(config, **options):
    """Build a config's model with random weights and norms; options are keys of its decoder."""
    if isinstance(config, str):
        config = load_config(config)
    config.merge_from_dict({f"model.{DECODER}{key}": value for key, value in options.items()})
    torch.manual_seed(0)
    model = build_model(model_without_weights(config), config.default_scope)
    model.init_weights()
    for parameter in model.parameters():  # no norm scales by 1, no offset is the same everywhere
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


def started(model, source):
    """Load ``source``'s weights into ``model``; return what differs."""
    start = warm_start(model, source.state_dict())
    own = model.state_dict()
    fitting = {k: v for k, v in start.weights.items() if k in own and own[k].shape == v.shape}
    model.load_state_dict(own | fitting)
    return start


def decoded(model):
    with torch.no_grad():
        mask_features, maps = model.panoptic_head.pixel_decoder(model.extract_feat(IMAGES))
    return [mask_features, *maps]


def same(model, source):
    return all(torch.equal(a, b) for a, b in zip(decoded(model), decoded(source), strict=True))


def test_trc_on_all_levels_computes_what_the_source_does():
    source = model_of("m2f_r18_shapes")
    all_levels = dict(type="pro_scale", repeats=(3,), levels=[(32, 16, 8)])
    embedding = dict(type="ConvPixelEmbedding")
    model = model_of(
        "proscale_m2f_r18_shapes", **{"encoder.schedule": all_levels}, pixel_embedding=embedding
    )
    assert not same(model, source)
    start = started(model, source)
    assert start.doubled == [f"{DECODER}input_convs.{level}.gn" for level in (0, 1)]
    assert not start.sliced and not start.repeated
    assert same(model, source)


def test_light_embedding_starts_near_the_convolution_that_it_replaces():
    source = model_of("m2f_r18_shapes")
    all_levels = dict(type="pro_scale", repeats=(3,), levels=[(32, 16, 8)])
    model = model_of("proscale_m2f_r18_shapes", **{"encoder.schedule": all_levels})
    untouched = warm_start(source, source.state_dict()).weights
    own = model.state_dict()
    copied = {k: w for k, w in untouched.items() if k in own and own[k].shape == w.shape}
    model.load_state_dict(own | copied)
    expected = decoded(source)[0]
    before = correlation(decoded(model)[0], expected)
    start = started(model, source)
    assert start.replaced == [f"{DECODER}output_convs.0.conv.weight"]
    after = correlation(decoded(model)[0], expected)
    assert after > 0.3 > 0.1 > abs(before)


def correlation(a, b):
    """Mean over channels of the correlation over pixels of maps (B, C, H, W)."""
    a, b = (x.transpose(0, 1).flatten(1) for x in (a, b))
    return torch.stack(
        [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(a, b, strict=True)]
    ).mean()


def test_exits_compute_what_the_source_does_at_the_last_one():
    model = model_of("eco_m2f_r18_shapes")
    decoder = model.panoptic_head.pixel_decoder
    layers = decoder.encoder.schedule.num_layers
    source = model_of("m2f_r18_shapes", **{"encoder.schedule.layers": layers})
    assert started(model, source).lines("m2f.pth") == []
    decoder.exit_gate.init_weights()
    assert same(model, source)


@pytest.mark.parametrize(
    ("config", "source", "prefix", "expected"),
    [
        ("proscale_m2f_r18_shapes", "m2f_r18_shapes", DECODER, [[0], [0, 1], None]),
        ("proscale_dino_r18_shapes", "dino_r18_shapes", "", [[2, 3], [1, 2, 3], None]),
    ],
)
def test_a_layer_that_reads_fewer_levels_keeps_their_rows(config, source, prefix, expected):
    model, source = model_of(config), model_of(source)
    start = started(model, source)
    changed = [key.removeprefix(f"{prefix}encoder.layers.")[0] for key in start.sliced]
    assert changed == ["0"] * 4 + ["1"] * 4
    own, theirs = (m.get_submodule(f"{prefix}encoder").layers for m in (model, source))
    for layer, other, levels in zip(own, theirs, expected, strict=True):
        levels = levels or list(range(other.self_attn.num_levels))
        assert layer.self_attn.num_levels == len(levels)
        _reads_as(layer.self_attn, other.self_attn, levels)


def _reads_as(attention, source, levels):
    """Compare with the source's attention, whose other levels get no weight."""
    heads, points = source.num_heads, source.num_points
    unread = torch.ones(heads, source.num_levels, points, dtype=torch.bool)
    unread[:, levels] = False
    source.attention_weights.bias.data[unread.flatten()] = -1e9
    sizes, C = [(2 + i, 3 + i) for i in range(source.num_levels)], source.embed_dims
    tokens = [torch.randn(1, h * w, C) for h, w in sizes]
    queries, centres = torch.randn(1, 5, C), torch.rand(1, 5, 1, 2)
    rest = (torch.zeros(1, 5, C), centres)
    with torch.no_grad():
        read = attention(
            queries, torch.cat([tokens[i] for i in levels], 1), *rest, [sizes[i] for i in levels]
        )
        expected = source(queries, torch.cat(tokens, 1), *rest, sizes)
    torch.testing.assert_close(read, expected)


def test_more_layers_repeat_the_last_and_fewer_take_the_first():
    assert [source_layer(i, 9, 6) for i in range(9)] == [0, 1, 2, 3, 4, 5, 3, 4, 5]
    assert [source_layer(i, 3, 6) for i in range(3)] == [0, 1, 2]
    assert [source_layer(i, 6, 6) for i in range(6)] == list(range(6))


def test_says_what_it_did():
    source = model_of("m2f_r18_shapes")
    model = model_of("proscale_m2f_r18_shapes", **{"encoder.schedule.repeats": (2, 1, 1)})
    lines = started(model, source).lines("m2f.pth")
    assert lines == [
        "m2f.pth starts another encoder",
        "  encoder layers from another one of the file: 4 from 3",
        "  12 weights keep the levels that their layer reads",
        f"  TRC starts as a gate of 1/2; doubled for it: {DECODER}input_convs.0.gn, "
        f"{DECODER}input_convs.1.gn",
        f"  the mask projection takes over {DECODER}output_convs.0.conv.weight for LPE",
    ]


def test_says_which_layers_are_left_out():
    source = model_of("m2f_r18_shapes", **{"encoder.schedule.layers": 4})
    start = started(model_of("proscale_m2f_r18_shapes"), source)
    assert start.lines("m2f.pth")[1] == "  encoder layers of the file that are left out: 4"


def test_a_file_without_a_layer_or_with_strange_names_is_no_crash():
    model, weights = model_of("proscale_m2f_r18_shapes"), model_of("m2f_r18_shapes").state_dict()
    layers = f"{DECODER}encoder.layers."
    weights = {k: w for k, w in weights.items() if not k.startswith(f"{layers}1.")}
    key = f"{layers}0.self_attn.attention_weights.bias"
    start = warm_start(model, weights | {f"{layers}last.a": torch.ones(1), key: torch.ones(())})
    assert not any(name.startswith(f"{layers}1.") for name in start.weights)
    assert f"{layers}last.a" in start.weights and key not in start.fitting(model)


def test_a_checkpoint_of_the_same_model_is_left_as_it_is():
    model = model_of("proscale_m2f_r18_shapes")
    weights = model.state_dict()
    start = warm_start(model, weights)
    assert start.weights.keys() == weights.keys() and not start.lines("same.pth")
    assert all(start.weights[key] is weights[key] for key in weights)


def test_weights_of_another_package_start_it_too(tmp_path):
    pytest.importorskip("transformers")
    hub_model().save_pretrained(tmp_path)
    schedule = dict(_delete_=True, type="pro_scale", repeats=(1, 1), levels=(32, (16, 8)))
    config = our_config()
    model = model_of(
        config, type="mmproscale.ProScalePixelDecoder", **{"encoder.schedule": schedule}
    )
    checkpoint = load_source(tmp_path)
    lines = convert_checkpoint(model, checkpoint, "theirs", config, partial=True)
    assert "  4 weights keep the levels that their layer reads" in lines
    weights = checkpoint["state_dict"]
    assert not weights[f"{DECODER}recalibration.phi.weight"].any()
    key = f"{DECODER}encoder.layers.0.self_attn.attention_weights.bias"
    assert weights[key].shape == model.state_dict()[key].shape
