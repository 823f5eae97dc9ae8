"""An optimiser's state fits the running optimiser, of any class, or is refused."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper

from mmproscale.checkpoints.inert_readers import NotDataError
from mmproscale.checkpoints.optimizer_state import check_optimizer

OPTIMIZERS = {
    "adamw": lambda parameters: torch.optim.AdamW(parameters, amsgrad=True),
    "fused": lambda parameters: torch.optim.AdamW(parameters, fused=True),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adafactor": torch.optim.Adafactor,
}


def wrapper_of(name: str = "adamw", steps: int = 1, groups: int = 1) -> OptimWrapper:
    torch.manual_seed(0)
    layers = torch.nn.ModuleList(torch.nn.Linear(3, 2) for _ in range(groups))
    optimizer = OPTIMIZERS[name]([{"params": list(layer.parameters())} for layer in layers])
    for _ in range(steps):
        sum(layer(torch.ones(3)).sum() for layer in layers).backward()
        optimizer.step()
    return OptimWrapper(optimizer)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_real_state_passes_and_is_loaded(name, groups):
    saved = wrapper_of(name, groups=groups)
    own = wrapper_of(name, steps=0, groups=groups)
    state = copy.deepcopy(saved.state_dict())
    check_optimizer(state, own)
    own.load_state_dict(state)
    theirs, ours = saved.optimizer.state_dict()["state"], own.optimizer.state_dict()["state"]
    assert theirs.keys() == ours.keys()
    for entry, other in zip(theirs.values(), ours.values(), strict=True):
        assert all(torch.equal(torch.as_tensor(entry[k]), torch.as_tensor(other[k])) for k in entry)


def test_the_check_leaves_the_optimiser_as_it_is():
    own = wrapper_of(steps=2)
    before = copy.deepcopy(own.optimizer.state_dict())
    weight = own.optimizer.param_groups[0]["params"][0]
    values, gradient = weight.clone(), weight.grad.clone()
    check_optimizer(wrapper_of().state_dict(), own)
    assert str(own.optimizer.state_dict()) == str(before)
    assert torch.equal(weight, values) and torch.equal(weight.grad, gradient)


def test_fused_or_not_is_the_runs_choice():
    state = wrapper_of("adamw").state_dict()
    state["param_groups"][0]["amsgrad"] = False
    for entry in state["state"].values():
        entry.pop("max_exp_avg_sq")
    check_optimizer(state, wrapper_of("fused", steps=0))
    assert state["param_groups"][0]["fused"] is True


def test_state_of_older_versions_is_brought_into_form():
    state = wrapper_of("fused").state_dict()
    for entry in state["state"].values():
        entry["step"] = 1
    for key in ("fused", "maximize", "decoupled_weight_decay"):
        state["param_groups"][0].pop(key)
    own = wrapper_of("fused", steps=0)
    check_optimizer(state, own)
    own.load_state_dict(state)
    own.optimizer.param_groups[0]["params"][0].grad = torch.ones(2, 3)
    own.optimizer.step()


def test_momentum_before_the_first_step():
    state = wrapper_of("momentum").state_dict()
    state["state"][0]["momentum_buffer"] = None
    check_optimizer(state, wrapper_of("momentum", steps=0))


def put(*keys_and_value):
    *path, last, value = keys_and_value

    def change(state: dict) -> None:
        for key in path:
            state = state[key]
        state[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("state", None), "no `state` and `param_groups`"),
        (put("param_groups", []), "0 param_groups, and the run has 1"),
        (put("param_groups", 0, "params", [0]), "with 1 parameters, and the run's has 2"),
        (put("param_groups", 0, "params", [0, 0]), "a parameter in two param_groups"),
        (put("param_groups", 0, "params", ["a", "b"]), "with 2 parameters"),
        (put("param_groups", 0, "lr", float("nan")), r"\.lr nan, and the run has 0\.001"),
        (put("param_groups", 0, "lr", "1"), r"\.lr '1'"),
        (put("param_groups", 0, "eps", -1.0), r"\.eps -1\.0"),
        (put("param_groups", 0, "betas", (0.9, 1.0)), r"\.betas \(0\.9, 1\.0\)"),
        (put("param_groups", 0, "betas", (0.9,)), r"\.betas \(0\.9,\)"),
        (put("param_groups", 0, "maximize", True), r"\.maximize True, and the run has False"),
        (lambda s: s["param_groups"][0].pop("lr"), r"param_groups\[0\] without lr"),
        (put("state", 7, {"step": 1}), "state of an unknown parameter, 7"),
        (put("state", 0, [1]), r"state\[0\] with \[\], and the run's optimiser has"),
        (lambda s: s["state"][0].pop("exp_avg"), r"state\[0\] with .*'exp_avg_sq'"),
        (
            put("state", 0, "exp_avg", torch.zeros(9)),
            r"of shape \(9,\), and the run's has \(2, 3\)",
        ),
        (put("state", 0, "exp_avg", torch.zeros(2, 3).long()), "of type torch.int64"),
        (
            put("state", 0, "exp_avg", torch.full((2, 3), float("inf"))),
            "values that are not finite",
        ),
        (put("state", 0, "exp_avg_sq", -torch.ones(2, 3)), "with negative squares"),
        (put("state", 0, "step", torch.tensor(-1.0)), r"state\[0\]\.step below 0"),
        (put("state", 0, "step", torch.zeros(2)), r"\.step of shape \(2,\)"),
        (put("state", 0, "step", "3"), r"\.step '3', no tensor"),
        (put("base_param_settings", {}), "base_param_settings where the run has none"),
    ],
)
def test_state_that_does_not_fit_is_named(change, message):
    state = copy.deepcopy(wrapper_of().state_dict())
    change(state)
    with pytest.raises(NotDataError, match=message):
        check_optimizer(state, wrapper_of(steps=0))


@pytest.mark.parametrize("base", [None, {"lr": 0.1}, {"params": torch.zeros(1), "lr": "a"}])
def test_options_of_no_parameter(base):
    state = copy.deepcopy(wrapper_of(groups=2).state_dict())
    state["base_param_settings"] = base
    with pytest.raises(NotDataError, match="base_param_settings"):
        check_optimizer(state, wrapper_of(groups=2))


REAL_SCALE = dict(
    scale=2.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=9, _growth_tracker=0
)


@pytest.mark.parametrize(
    "scale",
    [{}, [1], {"scale": 1.0}, {**REAL_SCALE, "scale": float("nan")}, REAL_SCALE | {"scale": 0}],
)
def test_a_loss_scale_of_another_form(scale):
    own = wrapper_of(steps=0)
    # As mmengine's wrapper for mixed precision has on a GPU.
    own.loss_scaler = SimpleNamespace(is_enabled=lambda: True, state_dict=lambda: REAL_SCALE)
    state = wrapper_of().state_dict()
    check_optimizer(state | {"loss_scaler": REAL_SCALE}, own)
    with pytest.raises(NotDataError, match="loss_scaler"):
        check_optimizer(state | {"loss_scaler": scale}, own)
