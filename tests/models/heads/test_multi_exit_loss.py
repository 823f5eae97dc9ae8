"""Step A: every exit through the one query decoder, all together or one at a time."""

import pytest
import torch
from helpers.heads import backbone_maps, data_samples, head_config
from helpers.training_processes import train_on
from mmengine.optim import build_optim_wrapper

from mmproscale.errors import InputError
from mmproscale.models.heads import MultiExitLoss, PanopticHead, multi_exit_loss
from mmproscale.models.heads.multi_exit_loss import draw_exit, exit_weights

EXITS = (2, 3, 4)


def build(schedule=None, gate=True, **loss):
    """A head whose criterion looks at the same points each time."""
    config = head_config()
    config.pixel_decoder.encoder.schedule = schedule or dict(type="m2f", layers=4)
    config.pixel_decoder.exit_gate = dict(type="ExitGate") if gate else None
    config.exit_loss = dict(type="mmproscale.MultiExitLoss", **loss)
    torch.manual_seed(0)
    head = PanopticHead(**config)
    head.init_weights()
    return head


def losses_of(head):
    torch.manual_seed(1)  # the points of losses
    maps, samples = backbone_maps(), data_samples([3, 2])
    torch.manual_seed(2)
    return head.loss(maps, samples)


def gradients(head):
    head.zero_grad()
    sum(losses_of(head).values()).backward()
    return {name: p.grad for name, p in head.named_parameters() if p.requires_grad}


def test_each_exit_has_its_losses_by_name_and_they_are_all_that_is_added():
    head = build()
    losses = losses_of(head)
    kinds = ("loss_cls", "loss_mask", "loss_dice")
    layers = ("", "d0.", "d1.", "d2.")  # three decoder layers, and before the first
    names = {f"exit{e}.{layer}{kind}" for e in EXITS for layer in layers for kind in kinds}
    assert losses.keys() == names
    assert all("loss" in name for name in losses), "mmengine adds up what is named so"


@pytest.mark.parametrize("weighting", ["WSD", "USD"])
def test_an_exits_losses_are_its_predictions_weighted(weighting):
    head = build(weighting=weighting)
    losses = losses_of(head)
    torch.manual_seed(1)
    maps, samples = backbone_maps(), data_samples([3, 2])
    targets = head._targets(samples)
    torch.manual_seed(2)
    for exit_, predictions in head.decode_exits(maps, EXITS, project_queries=False):
        assert predictions.exits == (exit_, exit_)
        weight = {"WSD": exit_ / 3, "USD": 1.0}[weighting]
        for name, loss in head.criterion(predictions, targets).items():
            torch.testing.assert_close(losses[f"exit{exit_}.{name}"], weight * loss)


@pytest.mark.parametrize("exits", [(2, 3, 4, 5, 6), (1, 2), (3, 9)])
def test_weights_grow_with_the_exit_and_have_mean_1(exits):
    weights = exit_weights(exits, "WSD")
    assert sum(weights.values()) / len(exits) == pytest.approx(1)
    assert [weights[k] / weights[exits[0]] for k in exits] == pytest.approx(
        [k / exits[0] for k in exits]
    )
    assert set(exit_weights(exits, "USD").values()) == {1.0}


def test_backbone_maps_are_projected_and_encoded_once_for_all_exits():
    head, calls = build(), []
    decoder = head.pixel_decoder
    for module in (*decoder.input_convs, *decoder.lateral_convs, *decoder.encoder.layers):
        module.register_forward_hook(lambda module, *_: calls.append(module))
    losses_of(head)
    assert len(calls) == len(set(calls)) == 3 + 1 + 4


def test_a_drawn_exit_has_the_losses_that_it_has_among_all(monkeypatch):
    head = build(exits="sample")
    monkeypatch.setattr(multi_exit_loss, "draw_exit", lambda exits: exits[1])
    losses = losses_of(head)
    assert {name.partition(".")[0] for name in losses} == {"exit3"}
    monkeypatch.undo()
    head.pixel_decoder.exits = (3, 4)  # so that exit 3 meets the same random points
    weight = exit_weights(EXITS, "WSD")[3] / exit_weights((3, 4), "WSD")[3]
    head.exit_loss = MultiExitLoss()
    for name, loss in losses_of(head).items():
        if name in losses:
            torch.testing.assert_close(losses[name], weight * loss)


@pytest.mark.parametrize(
    ("schedule", "idle"),
    [(dict(type="m2f", layers=4), (2, 3)), (dict(type="lite", coarse_layers=4), (2, 3))],
)
def test_layers_after_a_drawn_exit_have_gradients_of_zero(monkeypatch, schedule, idle):
    head = build(schedule, exits="sample")
    monkeypatch.setattr(multi_exit_loss, "draw_exit", lambda exits: 2)
    for name, gradient in gradients(head).items():
        skipped = any(f"encoder.layers.{index}." in name for index in idle)
        assert gradient is not None, name
        assert not skipped or not gradient.any(), name
    assert any(p.grad.any() for p in head.pixel_decoder.encoder.layers[1].parameters())
    if schedule["type"] == "lite":
        assert any(p.grad.any() for p in head.pixel_decoder.encoder.layers[4].parameters())


def test_draws_are_among_the_exits_and_take_each():
    drawn = [draw_exit(EXITS) for _ in range(60)]
    assert set(drawn) == set(EXITS)


def test_gradients_are_the_same_if_parts_are_computed_again():
    head = build()
    plain, kept = gradients(head), memory_kept(head)
    head.exit_loss = MultiExitLoss(with_cp=True)
    for name, gradient in gradients(head).items():
        torch.testing.assert_close(gradient, plain[name], msg=name)
    assert memory_kept(head) < 0.75 * kept  # what criterion and encoder keep stays


def memory_kept(head):
    """Bytes that the forward pass keeps for the backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = losses_of(head)  # noqa: F841  (its graph holds what is kept)
    for parameter in head.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    return sum(kept.values())


def test_the_gate_stays_as_it_is_while_all_else_learns():
    head = build().train()
    config = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-2, weight_decay=0.1))
    optim_wrapper = build_optim_wrapper(head, config)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    for _ in range(2):
        optim_wrapper.update_params(sum(losses_of(head).values()))
    for name, parameter in head.named_parameters():
        assert torch.equal(parameter, before[name]) == ("exit_gate" in name), name


def test_two_processes_draw_the_same_exit_and_learn_the_same(tmp_path):
    first, second = train_on(2, tmp_path / "run", steps=6)
    assert first["exits"] == second["exits"] and len(set(first["exits"])) > 1
    assert first["losses"] != second["losses"], "they have seen other images"
    assert first["weights"] == second["weights"] != first["weights_before"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(exits="some"), "exits='some' and weighting='WSD'"),
        (dict(weighting="linear"), "weighting='linear'"),
        (dict(schedule=dict(type="pro_scale", repeats=(1, 1, 1)), gate=False), r"has \(3,\): set"),
    ],
)
def test_what_cannot_be_trained_so_is_said_when_built(arguments, message):
    with pytest.raises(InputError, match=message):
        build(**arguments)


def test_a_pixel_decoder_without_exits_is_said_when_built():
    config = head_config()
    encoder = config.pixel_decoder.encoder
    encoder.num_layers = encoder.pop("schedule")["layers"]
    config.pixel_decoder.type = "mmdet.MSDeformAttnPixelDecoder"
    config.exit_loss = dict(type="mmproscale.MultiExitLoss")
    with pytest.raises(InputError, match="the encoder has none"):
        PanopticHead(**config)
