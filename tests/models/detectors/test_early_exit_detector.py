"""Detectors with exits: mmdet's without them, and each image as if all had left where it did."""

import copy

import pytest
import torch
from helpers.early_exit_detectors import LAYERS, NAMES, detr, early_exit
from helpers.tiny_detectors import batch
from mmengine.optim import build_optim_wrapper

from mmproscale.errors import InputError

SIZES = [(96, 64), (72, 112), (60, 50), (96, 112)]
EXITS = (2, 3, 4)


def memory(model, images, samples):
    inputs, _ = model.pre_transformer(model.extract_feat(images), samples)
    return model.forward_encoder(**inputs)["memory"]


@torch.no_grad()
@pytest.mark.parametrize("sizes", [SIZES, [(64, 96)] * 2], ids=["several sizes", "one size"])
def test_detr_without_exits_is_mmdets(sizes):
    theirs = detr().eval()
    ours = detr(type="mmproscale.EarlyExitDETR").eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images, samples = batch(sizes)
    assert torch.equal(memory(ours, images, samples), memory(theirs, images, samples))
    found = ours.predict(images, copy.deepcopy(samples))
    for one, other in zip(found, theirs.predict(images, samples), strict=True):
        assert torch.equal(one.pred_instances.bboxes, other.pred_instances.bboxes)
        assert torch.equal(one.pred_instances.scores, other.pred_instances.scores)
    assert [sample.encoder_exit for sample in found] == [LAYERS] * len(sizes)


def test_losses_of_detr_without_an_exit_loss_are_mmdets():
    theirs = detr().train()
    ours = early_exit("DETR").train()
    missing = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert missing.missing_keys == ["exit_gate.linear.weight", "exit_gate.linear.bias"]
    images, samples = batch(SIZES)
    losses = []
    for model in (theirs, ours):
        torch.manual_seed(1)  # of dropout
        losses.append(model.loss(images, copy.deepcopy(samples)))
    assert losses[0].keys() == losses[1].keys()
    for name, loss in losses[0].items():
        torch.testing.assert_close(losses[1][name], loss)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_an_image_in_a_batch_is_as_if_all_had_left_at_its_exit(name):
    model = early_exit(name).eval()
    images, samples = batch(SIZES)
    for exits in ((3, 2, 4, 2), (2, 4, 4, 3)):
        model.image_exits = lambda images, features, exits=exits: exits
        together = memory(model, images, samples)
        assert [sample.encoder_exit for sample in samples] == list(exits)
        for image, exit_ in enumerate(exits):
            model.image_exits = lambda number, features, e=exit_: (e,) * number
            expected = memory(model, images, samples)[image]
            torch.testing.assert_close(together[image], expected, rtol=0, atol=1e-5)
            assert exit_ == 4 or (expected - memory_at(model, images, samples, 4)[image]).std() > 0


def memory_at(model, images, samples, exit_):
    model.image_exits = lambda number, features: (exit_,) * number
    return memory(model, images, samples)


@pytest.mark.parametrize("name", ["DETR", "DINO"])
@torch.no_grad()
def test_the_gate_sees_the_mean_of_what_is_no_padding(name):
    model = early_exit(name).eval()
    images, samples = batch([(96, 64), (128, 160)])
    coarsest = torch.randn(2, 256, 4, 5)
    feats = [*model.extract_feat(images)[:-1], coarsest]
    if name == "DINO":  # half as fine: 2 x 3 tokens
        coarsest = feats[-1] = torch.randn(2, 256, 2, 3)
    seen = model.gate_input(feats, samples)
    rows, columns = {"DETR": (3, 2), "DINO": (2, 2)}[name]
    torch.testing.assert_close(seen[0], coarsest[0, :, :rows, :columns].mean((1, 2)))
    torch.testing.assert_close(seen[1], coarsest[1].mean((1, 2)))
    noisy = coarsest.clone()
    noisy[0, :, :, columns:] = 1e3
    torch.testing.assert_close(model.gate_input([*feats[:-1], noisy], samples), seen)


@torch.no_grad()
def test_the_gate_chooses_by_what_it_sees_when_the_model_is_evaluated():
    model = early_exit("DETR").eval()
    images, samples = batch([(96, 64)] * 6)
    seen = model.gate_input(model.extract_feat(images), samples)
    model.exit_gate.linear.bias -= model.exit_gate(seen).mean(0)  # noise looks much alike
    logits = model.exit_gate(seen)
    model.predict(images, samples)
    chosen = [sample.encoder_exit for sample in samples]
    assert chosen == [EXITS[index] for index in logits.argmax(1).tolist()]
    assert len(set(chosen)) > 1
    model.train()
    assert "exits" not in model.pre_transformer(model.extract_feat(images), samples)[0]


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = 0.0
    return model


@pytest.mark.parametrize("name", NAMES)
def test_each_exit_has_mmdets_losses_weighted(name):
    model = early_exit(name, exit_loss=dict(type="mmproscale.MultiExitLoss"))
    images, samples = batch(SIZES)
    torch.manual_seed(1)
    losses = without_dropout(model.train()).loss(images, copy.deepcopy(samples))
    model.exit_loss = None
    torch.manual_seed(1)
    whole = model.loss(images, copy.deepcopy(samples))
    assert losses.keys() == {f"exit{exit_}.{key}" for exit_ in EXITS for key in whole}
    first = copy.deepcopy(model)
    first.exits = (2,)
    torch.manual_seed(1)  # of noisy queries
    expected = first.loss(images, copy.deepcopy(samples))
    for key, loss in expected.items():
        pairs = zip(
            *(v if isinstance(v, list) else [v] for v in (losses[f"exit2.{key}"], loss)),
            strict=True,
        )
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, 2 / 3 * theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("exits", ["all", "sample"])
@pytest.mark.parametrize("name", NAMES)
def test_step_a_trains_all_but_the_gate(name, exits):
    model = early_exit(name, exit_loss=dict(type="mmproscale.MultiExitLoss", exits=exits)).train()
    optimizer = dict(type="AdamW", lr=1e-3, weight_decay=0.1)
    optim_wrapper = build_optim_wrapper(model, dict(type="OptimWrapper", optimizer=optimizer))
    before = {key: value.clone() for key, value in model.named_parameters()}
    images, samples = batch(SIZES)
    loss, _ = model.parse_losses(model.loss(images, samples))
    loss.backward()
    for key, parameter in model.encoder.named_parameters():
        assert parameter.grad is not None, key
    optim_wrapper.step()
    after = dict(model.named_parameters())
    trained = [key for key, value in before.items() if not torch.equal(value, after[key])]
    assert all(any(f"encoder.layers.{i}." in key for key in trained) for i in range(2))
    assert not any("exit_gate" in key for key in trained)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_the_same_if_the_decoder_is_computed_again(name):
    model = early_exit(name, exit_loss=dict(type="mmproscale.MultiExitLoss"))
    without_dropout(model.train())
    images, samples = batch(SIZES)
    grads = []
    for with_cp in (False, True):
        model.zero_grad()
        model.exit_loss.with_cp = with_cp
        torch.manual_seed(1)  # of noisy queries
        model.parse_losses(model.loss(images, copy.deepcopy(samples)))[0].backward()
        grads.append(model.encoder.layers[0].ffn.layers[1].weight.grad.clone())
    torch.testing.assert_close(*grads)
    assert grads[0].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(exits=[2, 5]), r"has no exit \[5\]: its legal exits are \(1, 2, 3, 4\)"),
        (dict(exits=[3]), "exit_gate has no choice"),
        (dict(exit=7), r"has no exit \[7\]"),
        (
            dict(exits=[4], exit_gate=None, exit_loss=dict(type="mmproscale.MultiExitLoss")),
            r"exit_loss trains several exits, and the encoder has \(4,\)",
        ),
    ],
)
def test_what_cannot_be_is_refused_when_built(changes, message):
    with pytest.raises(InputError, match=message):
        early_exit("DETR", **changes)
