"""Mixed precision: training under autocast on GPUs and CPUs, and tests in half precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from torch import nn

from mmproscale.errors import InputError
from mmproscale.models.precision import set_precision
from mmproscale.registry import OPTIM_WRAPPERS
from mmproscale.utils.processes import cpu_has_bf16


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """mmengine's OptimWrapper with the forward pass under autocast to bf16.

    mmengine's AmpOptimWrapper needs a GPU. bf16 has the range of fp32, so losses are not scaled.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Return the context of a step's forward pass."""
        with super().optim_context(model), torch.autocast("cpu", torch.bfloat16):
            yield


def use_amp(config: Config) -> None:
    """Have a config train in mixed precision: fp16 on GPUs, bf16 on CPUs.

    Raises:
        InputError: There is neither a GPU nor a CPU with instructions for bf16.
    """
    wrapper = config.optim_wrapper
    if get_device() != "cpu":
        wrapper.type, wrapper.loss_scale = "AmpOptimWrapper", "dynamic"
        return
    if not cpu_has_bf16():
        raise InputError(
            "--amp: PyTorch finds no GPU here, and this CPU has no instructions for bf16 "
            "(AVX512-BF16 or AMX), without which it would be slower: leave --amp out"
        )
    wrapper.type = "mmproscale.CPUAmpOptimWrapper"
    for key in ("loss_scale", "dtype", "use_fsdp"):  # of an AmpOptimWrapper in the config
        wrapper.pop(key, None)


class PrecisionHook(Hook):
    """Hook that converts a model for its test, when its weights are loaded.

    Args:
        precision: As of :func:`~mmproscale.models.precision.set_precision`.
        note: Function of the runner, called before the conversion changes the weights.
    """

    priority = "VERY_LOW"

    def __init__(self, precision: str, note: Callable[[Any], object]) -> None:
        self.precision, self.note = precision, note

    def before_test(self, runner: Any) -> None:
        """Note and convert the model."""
        self.note(runner)
        set_precision(runner.model, self.precision)
