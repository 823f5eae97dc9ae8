"""Training in mixed precision: the wrapper of each device, and a step on a CPU."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmproscale.errors import InputError
from mmproscale.models.precision import set_precision
from mmproscale.training import mixed_precision
from mmproscale.training.mixed_precision import CPUAmpOptimWrapper, PrecisionHook, use_amp


@pytest.fixture
def config():
    optimizer = dict(type="SGD", lr=0.1)
    return Config(dict(optim_wrapper=dict(type="OptimWrapper", optimizer=optimizer)))


@pytest.fixture
def on(monkeypatch):
    def choose(device, bf16=True):
        monkeypatch.setattr(mixed_precision, "get_device", lambda: device)
        monkeypatch.setattr(mixed_precision, "cpu_has_bf16", lambda: bf16)

    return choose


def test_a_gpu_trains_in_fp16_with_scaled_losses(config, on):
    on("cuda", bf16=False)
    use_amp(config)
    assert (config.optim_wrapper.type, config.optim_wrapper.loss_scale) == (
        "AmpOptimWrapper",
        "dynamic",
    )


def test_a_cpu_trains_in_bf16(config, on):
    on("cpu")
    config.optim_wrapper.update(type="AmpOptimWrapper", loss_scale="dynamic")
    use_amp(config)
    model = nn.Linear(2, 1)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    assert type(wrapper) is CPUAmpOptimWrapper
    before = model.weight.clone()
    with wrapper.optim_context(model):
        predicted = model(torch.ones(1, 2))
    assert predicted.dtype == torch.bfloat16
    wrapper.update_params(predicted.float().sum())
    assert model.weight.dtype == torch.float32 and (model.weight != before).all()
    assert not torch.is_autocast_enabled("cpu")


def test_a_cpu_without_bf16_is_refused(config, on):
    on("cpu", bf16=False)
    with pytest.raises(InputError, match=r"--amp: .*no instructions for bf16.*leave --amp out"):
        use_amp(config)


def test_weights_are_noted_before_their_conversion():
    noted = []
    runner = type("Runner", (), {"model": nn.Linear(2, 1)})
    hook = PrecisionHook("bf16", lambda runner: noted.append(runner.model.weight.dtype))
    hook.before_test(runner)
    assert noted == [torch.float32] and runner.model.weight.dtype == torch.bfloat16
    set_precision(runner.model, "fp32")
