"""Optimizers in which norms do not decay, also where a part of the model has its own rate."""

from __future__ import annotations

from collections.abc import Callable

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmproscale.registry import OPTIM_WRAPPER_CONSTRUCTORS

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)  # with instance norms


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class NormDecayConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with its arguments, whose ``norm_decay_mult`` reaches all norms.

    In mmengine a custom key replaces all other rules: ``backbone=dict(lr_mult=0.1)`` lets the norms
    of the backbone decay. Here a custom key without ``decay_mult`` keeps ``norm_decay_mult``. It
    holds for norms, and for parameters that a module names in ``no_weight_decay()``, a method of
    timm's models and of `TimmBackbone`.
    """

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = "",
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add a parameter group for each parameter of a module."""
        super().add_params(params, module, prefix, is_dcn_module)
        factor = self.paramwise_cfg.get("norm_decay_mult")
        if prefix or factor is None:  # mmengine calls this method for each submodule
            return
        undecayed = _undecayed(module)
        for group in params:
            # mmengine copies the items of a custom key to the group.
            if "decay_mult" not in group and id(group["params"][0]) in undecayed:
                group["weight_decay"] = self.base_wd * factor


def _undecayed(model: nn.Module) -> set[int]:
    """Return the ids of norms' parameters and of those in a module's ``no_weight_decay()``."""
    found = set()
    for module in model.modules():
        if isinstance(module, NORMS):
            found |= {id(parameter) for parameter in module.parameters(recurse=False)}
        named: Callable | None = getattr(module, "no_weight_decay", None)
        if named is not None:
            names = named()
            found |= {id(p) for name, p in module.named_parameters() if name in names}
    return found
