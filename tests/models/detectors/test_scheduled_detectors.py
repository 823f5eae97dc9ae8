"""Detectors around a scheduled encoder: with the plain schedule they are mmdet's."""

import copy

import pytest
import torch
from helpers.tiny_detectors import STOCK, batch, build_detector, scheduled, stir

from mmproscale.errors import InputError

SAME = [(64, 96), (64, 96)]
OTHER = [(96, 64), (72, 112), (60, 50)]
GROWTH = dict(type="pro_scale", repeats=(1, 2, 1), levels=((64, 32), 16, 8))


def twins(name, **changes):
    """mmdet's detector and ours, with the same weights."""
    theirs, ours = build_detector(name, **changes), scheduled(name, **changes)
    stir(theirs)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs.eval(), ours.eval()


def memory(model, images, samples):
    inputs, _ = model.pre_transformer(model.extract_feat(images), samples)
    return model.forward_encoder(**inputs)["memory"]


@pytest.mark.parametrize("sizes", [SAME, OTHER], ids=["one size", "several sizes"])
@pytest.mark.parametrize("name", STOCK)
@torch.no_grad()
def test_the_plain_schedule_is_mmdets_encoder(name, sizes):
    theirs, ours = twins(name)
    images, samples = batch(sizes)
    expected = memory(theirs, images, samples)
    assert (memory(ours, images, samples) - expected).abs().max() < 1e-5
    assert expected.std() > 0.1


@torch.no_grad()
def test_the_plain_schedule_is_mmdets_encoder_of_five_levels():
    five = {
        "num_feature_levels": 5,
        "neck.num_outs": 5,
        "encoder.layer_cfg.self_attn_cfg.num_levels": 5,
        "decoder.layer_cfg.cross_attn_cfg.num_levels": 5,
    }
    theirs, ours = twins("DINO", **five)
    assert ours.encoder.schedule.strides == (128, 64, 32, 16, 8)
    images, samples = batch([(150, 200), (130, 140)])
    difference = memory(ours, images, samples) - memory(theirs, images, samples)
    assert difference.abs().max() < 1e-5


@pytest.mark.parametrize("name", STOCK)
@torch.no_grad()
def test_a_whole_detector_finds_what_mmdets_finds(name):
    theirs, ours = twins(name)
    images, samples = batch(OTHER)
    expected = theirs.predict(images, copy.deepcopy(samples))
    for ours_found, found in zip(ours.predict(images, samples), expected, strict=True):
        for key, tolerance in (("scores", 1e-5), ("bboxes", 1e-3)):  # boxes are in pixels
            difference = ours_found.pred_instances[key] - found.pred_instances[key]
            assert difference.abs().max() < tolerance
        assert torch.equal(ours_found.pred_instances.labels, found.pred_instances.labels)


@pytest.mark.parametrize("name", STOCK)
def test_losses_and_gradients_are_mmdets(name):
    theirs, ours = twins(name)
    images, samples = batch(OTHER)
    losses = []
    for model in (theirs.train(), ours.train()):
        torch.manual_seed(1)  # of the noise in denoising queries
        losses.append(model.loss(images, copy.deepcopy(samples)))
        model.parse_losses(losses[-1])[0].backward()
    assert losses[0].keys() == losses[1].keys()
    for key, loss in losses[0].items():
        torch.testing.assert_close(losses[1][key], loss, rtol=1e-4, atol=1e-4)
    grads = [model.encoder.layers[0].ffn.layers[1].weight.grad for model in (theirs, ours)]
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-4)


def test_growing_tokens_and_recalibration_all_learn():
    model = scheduled(
        "DINO", dict(num_layers=None, schedule=GROWTH), recalibration=dict(type="TRC")
    )
    stir(model)
    assert model.encoder.schedule.exits == (4,)
    images, samples = batch(OTHER)
    model.parse_losses(model.loss(images, samples))[0].backward()
    parts = [*model.encoder.named_parameters(), *model.recalibration.named_parameters()]
    assert not [key for key, p in parts if p.grad is None or not p.grad.any()]


@torch.no_grad()
def test_recalibration_is_the_finest_maps_gate_where_a_level_enters():
    model = scheduled(
        "DINO", dict(num_layers=None, schedule=GROWTH), recalibration=dict(type="TRC")
    ).eval()
    images, samples = batch(OTHER)
    inputs, _ = model.pre_transformer(model.extract_feat(images), samples)
    inputs.pop("level_start_index")
    taken = model.encoder_inputs(**inputs)
    assert set(taken.gates) == {64, 32, 16}
    finest = taken.layout.to_map(taken.tokens[8], 8)
    for stride, gate in taken.gates.items():
        expected = model.recalibration(finest, taken.layout.shape(stride))
        assert torch.equal(gate, expected) and gate.shape[1] == taken.layout.num_tokens(stride)
    model.recalibration.phi.bias.fill_(-1e4)  # every gate is shut
    shut = model.encoder_inputs(**inputs)
    zeros = {s: t if s == 8 else torch.zeros_like(t) for s, t in shut.tokens.items()}
    expected = model.encoder(zeros, shut.pos, shut.layout)
    for stride, tokens in model.encoder(*shut).items():
        torch.testing.assert_close(tokens, expected[stride])


@torch.no_grad()
def test_no_image_reads_padding():
    model = scheduled("DINO", dict(num_layers=None, schedule=GROWTH), recalibration=None).eval()
    stir(model)
    images, samples = batch(OTHER)
    inputs, _ = model.pre_transformer(model.extract_feat(images), samples)
    mask = inputs["feat_mask"]
    expected = model.forward_encoder(**inputs)["memory"]
    inputs["feat"] = torch.where(mask[..., None], torch.randn_like(inputs["feat"]), inputs["feat"])
    changed = model.forward_encoder(**inputs)["memory"]
    assert mask.any() and not torch.equal(changed[mask], expected[mask])
    torch.testing.assert_close(changed[~mask], expected[~mask])


@torch.no_grad()
def test_maps_that_the_schedule_leaves_out_reach_the_decoder_as_the_neck_made_them():
    schedule = dict(type="pro_scale", repeats=(1, 1), levels=(64, (32, 16)))
    model = scheduled(
        "DINO",
        dict(num_layers=None, schedule=schedule),
        recalibration=dict(type="TRC"),
        **{"encoder.layer_cfg.self_attn_cfg.num_levels": 3},
    ).eval()
    images, samples = batch(OTHER)
    inputs, _ = model.pre_transformer(model.extract_feat(images), samples)
    encoded = model.forward_encoder(**inputs)["memory"]
    finest = int(inputs["spatial_shapes"][0].prod())
    assert torch.equal(encoded[:, :finest], inputs["feat"][:, :finest])
    assert not torch.isclose(encoded[:, finest:], inputs["feat"][:, finest:]).all(-1).any()
    assert len(model.predict(images, samples)) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder.schedule": GROWTH}, r"model.encoder has num_layers=3 and schedule="),
        ({"strides": (64, 32, 16, 8)}, r"strides=\(64, 32, 16, 8\) must ascend"),
        ({"strides": (8, 8, 16, 32)}, r"strides=\(8, 8, 16, 32\) must ascend"),
        (
            {"decoder.layer_cfg.cross_attn_cfg.num_levels": 3},
            r"decoder.layer_cfg.cross_attn_cfg.num_levels=3, but num_feature_levels=4",
        ),
        ({"strides": (8, 16)}, r"model.strides=\(8, 16\) must have one stride for each of"),
        (
            {"strides": (4, 8, 16, 32), "encoder.num_layers": None, "encoder.schedule": GROWTH},
            r"needs level 64, which has no map",
        ),
        ({"encoder.num_cp": 2}, r"model.encoder takes schedule or num_layers.*num_cp"),
    ],
)
def test_what_cannot_be_is_refused_when_built(changes, message):
    with pytest.raises(InputError, match=message):
        scheduled("DINO", **changes)


@pytest.mark.parametrize("maps", [3, 5])
def test_a_neck_of_another_number_of_maps_is_named(maps):
    model = scheduled("DINO", **{"neck.num_outs": maps}).eval()
    images, samples = batch()
    with pytest.raises(InputError, match=f"neck gives {maps} maps, but model.num_feature_levels=4"):
        model.predict(images, samples)


@pytest.mark.parametrize(("queries", "most"), [(20, 300), (3, 300), (20, 7)])
@pytest.mark.parametrize("name", STOCK)
@torch.no_grad()
def test_there_are_no_more_results_than_candidates(name, queries, most):
    changes = {"num_queries": queries, "test_cfg.max_per_img": most, "bbox_head.num_classes": 1}
    model = scheduled(name, **changes).eval()
    images, samples = batch(SAME)
    found = model.predict(images, copy.deepcopy(samples))
    assert all(len(sample.pred_instances) <= min(queries, most) for sample in found)
    if name != "DDQDETR":  # which also suppresses doubles
        assert all(len(sample.pred_instances) == min(queries, most) for sample in found)


@pytest.mark.parametrize("name", ["DINO", "DDQDETR"])
def test_an_image_of_fewer_tokens_than_queries_has_fewer_results(name):
    """A strip of 8x48 has 6 + 3 + 2 + 1 tokens; 32x48 has 24 + 6 + 2 + 1 of them."""
    model = scheduled(name, **{"num_queries": 20, "test_cfg.max_per_img": 300})
    strips, samples = batch([(8, 48), (8, 40)])
    losses = model.loss(strips, copy.deepcopy(samples))
    parts = [p for loss in losses.values() for p in (loss if isinstance(loss, list) else [loss])]
    assert all(torch.isfinite(part).all() for part in parts)
    model.eval()
    with torch.no_grad():
        few = model.predict(strips, copy.deepcopy(samples))
        images, more = batch([(32, 48)])
        many = model.predict(images, more)
    assert all(0 < len(sample.pred_instances) <= 12 * 5 for sample in few)
    assert len(many[0].pred_instances) <= 20 * 5 and model.num_queries == 20
    if name == "DINO":
        assert (len(few[0].pred_instances), len(many[0].pred_instances)) == (60, 100)
