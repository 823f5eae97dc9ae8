"""Multiply-accumulates of a network by module, without an image and without computation.

The rules are fvcore's, as in the papers: products of convolutions, linear layers and matrix
multiplications; 5 for each element of a norm (2 for a batch norm in evaluation); 4 for each output
element of bilinear upsampling, 1 for nearest. Sampling and elementwise operations do not count.
PyTorch's counter supplies the products, for any kernel. The table below supplies the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

Shape = Sequence[int]
aten = torch.ops.aten


def _norm(affine: int, plain: int, weight_index: int) -> Callable[..., int]:
    """Count ``affine`` per element, or ``plain`` where argument ``weight_index`` is None."""

    def count(x: Shape, *args, out_shape: object = None, **kwargs) -> int:
        return 2 * prod(x) * (plain if args[weight_index - 1] is None else affine)

    return count


def _upsampling(per_element: int) -> Callable[..., int]:
    def count(x: Shape, *args, out_shape: Shape, **kwargs) -> int:
        return 2 * prod(out_shape) * per_element

    return count


def _attention(query: Shape, key: Shape, value: Shape, *args, **kwargs) -> int:
    return sdpa_flop_count(query, key, value)


# In operations; two of them are a multiply-accumulate.
FORMULAS: dict[object, Callable[..., int]] = {
    aten.native_layer_norm: _norm(5, 4, weight_index=2),
    aten.native_group_norm: _norm(5, 4, weight_index=1),
    aten.native_batch_norm: _norm(2, 1, weight_index=1),
    aten._native_batch_norm_legit_no_training: _norm(2, 1, weight_index=1),
    aten.upsample_bilinear2d: _upsampling(4),
    aten.upsample_nearest2d: _upsampling(1),
    aten.upsample_nearest2d.default: _upsampling(1),  # else it is decomposed and not counted
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
}


class OperationCounts:
    """Counts of one forward pass of a network.

    Args:
        network: The network whose modules were counted.
        counts: Multiply-accumulates of each called module, including the modules that it calls.
    """

    def __init__(self, network: nn.Module, counts: Mapping[str, int]) -> None:
        self._modules = dict(network.named_modules())
        self._counts = counts

    def of(self, path: str) -> int:
        """Return a module's multiply-accumulates; 0 for an unknown path; '' is the network.

        A container that is not called itself, such as a ModuleList, is the sum of its children.
        """
        if path in self._counts or path not in self._modules:
            return self._counts.get(path, 0)
        prefix = f"{path}." if path else ""
        return sum(self.of(f"{prefix}{name}") for name, _ in self._modules[path].named_children())


@torch.no_grad()
def count_operations(network: nn.Module, *inputs: Any) -> tuple[OperationCounts, Any]:
    """Run ``network(*inputs)`` and count; on the meta device nothing is computed or allocated.

    Args:
        network: A network in evaluation mode, its parameters without gradients.
        inputs: Tensors on any device.

    Returns:
        The counts, and the network's outputs.
    """
    counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
    with counter:
        outputs = network(*inputs)
    root = type(network).__name__
    counts = {
        name.removeprefix(root).removeprefix("."): sum(operations.values()) // 2
        for name, operations in counter.get_flop_counts().items()
        if name == root or name.startswith(f"{root}.")
    }
    return OperationCounts(network, counts), outputs
