"""DistributedDataParallel on CPUs, over gloo, with batch norms over all processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm

from mmproscale.registry import MODEL_WRAPPERS


class CPUSyncBatchNorm(_BatchNorm):
    """torch's SyncBatchNorm for CPUs, where torch refuses its own."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, ...) by mean and variance over the batches of all processes."""
        if not self.training:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        mean, variance, count = _statistics(input)
        self._track(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        shift = -mean * scale if self.bias is None else self.bias - mean * scale
        shape = (-1, *[1] * (input.dim() - 2))
        return input * scale.view(shape) + shift.view(shape)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        cumulative = 1.0 / int(self.num_batches_tracked)
        momentum = cumulative if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def _statistics(input: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean (C,) and variance (C,) of each channel, and its number of values (1,)."""
    dims = [0, *range(2, input.dim())]
    number = input.new_tensor([input.numel() / input.shape[1]])
    totals = all_reduce(torch.cat([input.sum(dims), number]))
    mean, count = totals[:-1] / totals[-1], totals[-1:].detach()
    deviations = input - mean.view(-1, *[1] * (input.dim() - 2))
    return mean, all_reduce(deviations.square().sum(dims)) / count, count


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """mmengine's wrapper for a model on a CPU, whose SyncBatchNorm works there too.

    Args:
        module: The model.
        device_ids: Ignored: mmengine gives the number of a GPU.
        options: Those of MMDistributedDataParallel.
    """

    def __init__(self, module: nn.Module, device_ids: Any = None, **options: Any) -> None:
        for part in module.modules():
            if type(part) is nn.SyncBatchNorm:
                part.__class__ = CPUSyncBatchNorm  # type: ignore[assignment]
        super().__init__(module=module, **options)


def train_on_cpus(config: Config) -> None:
    """Have a config communicate over gloo, and wrap its model for CPUs."""
    config.merge_from_dict({"env_cfg.dist_cfg.backend": "gloo"})
    # A FlexibleRunner has a strategy, which wraps the model.
    strategy = config.get("strategy")
    if strategy is None:
        unused = config.get("find_unused_parameters", False)
        default = dict(broadcast_buffers=False, find_unused_parameters=unused)
        config.model_wrapper_cfg = _for_cpus(config.get("model_wrapper_cfg") or default)
    elif "FSDP" in strategy["type"]:
        strategy.model_wrapper = dict(device_id="cpu") | dict(strategy.get("model_wrapper") or {})
    else:
        default = dict(broadcast_buffers=False)
        strategy.model_wrapper = _for_cpus(strategy.get("model_wrapper") or default)


def _for_cpus(wrapper: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a wrapper with our class instead of mmengine's; other classes stay."""
    stock = wrapper.get("type", "MMDistributedDataParallel") == "MMDistributedDataParallel"
    return dict(wrapper, type="mmproscale.CPUDistributedDataParallel") if stock else dict(wrapper)
