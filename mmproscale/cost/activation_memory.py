"""Predicted memory of a network's activations for one image, without allocating it.

Fake tensors have sizes and no data, so a network runs at any size within seconds. Temporary memory
within an operator, the allocator's reserve, losses and optimiser are not included.
:mod:`mmproscale.timing.measured_memory` measures the peak of a real run.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class ActivationMemory:
    """Bytes for one image; ``half`` means autocast to 16 bits, including its copies of weights.

    Args:
        inference: Largest total of live activations, without gradients.
        inference_half: The same in mixed precision.
        training: Tensors that the forward pass keeps for the backward pass.
        training_half: The same in mixed precision.
    """

    inference: int
    inference_half: int
    training: int
    training_half: int


def activation_memory(network: nn.Module, size: tuple[int, int]) -> ActivationMemory:
    """Predict the memory of ``network(images)`` for one image of ``size`` (H, W)."""
    return ActivationMemory(
        *(_fake_peak(network, size, half) for half in (False, True)),
        *(training_memory(network, size, half) for half in (False, True)),
    )


def training_memory(network: nn.Module, size: tuple[int, int], half: bool = False) -> int:
    """Predict the bytes that the forward pass of an image (H, W) keeps for the backward pass."""
    network = _training_one_image(network)
    with FakeTensorMode(allow_non_fake_inputs=True):
        return _kept_bytes(network, size, half)


def extrapolated_memory(network: nn.Module, size: tuple[int, int]) -> ActivationMemory:
    """Predict the same for a network that fake tensors can't run, such as DINO's."""
    return ActivationMemory(
        *(_grown(partial(_peak, network.eval(), half=half))(size) for half in (False, True)),
        *(detector_training_memory(network, half)(size) for half in (False, True)),
    )


def detector_training_memory(
    network: nn.Module, half: bool = False
) -> Callable[[tuple[int, int]], int]:
    """Return the training memory as a function of size for a DINO detector.

    Denoising queries are not included.
    """
    return _grown(partial(_kept_bytes, network.eval(), half=half))


def _grown(measure: Callable[[tuple[int, int]], int]) -> Callable[[tuple[int, int]], int]:
    """Return a memory of any size from those of two small images: maps grow with the area."""
    side, longer = 256, 512
    small, large = (measure((side, width)) for width in (side, longer))
    per_pixel = (large - small) / (side * (longer - side))
    return lambda size: round(small + per_pixel * (size[0] * size[1] - side**2))


def _kept_bytes(network: nn.Module, size: tuple[int, int], half: bool) -> int:
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage
        return tensor

    images = torch.zeros(1, 3, *size)
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with torch.enable_grad(), _autocast(half), hooks:
        outputs = network(images)  # noqa: F841  (its graph holds the kept tensors)
    for tensor in (*network.parameters(), *network.buffers(), images):
        kept.pop(tensor.untyped_storage()._cdata, None)
    return sum(storage.nbytes() for storage in kept.values())


def _training_one_image(network: nn.Module) -> nn.Module:
    """Return a copy in training mode, with batch norms in evaluation mode.

    In PEM a channel of one image has a single value, which has no variance. In both modes a batch
    norm keeps its input.
    """
    network = copy.deepcopy(network).train()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    return network


def _fake_peak(network: nn.Module, size: tuple[int, int], half: bool) -> int:
    with FakeTensorMode(allow_non_fake_inputs=True):
        return _peak(network, size, half)


def _peak(network: nn.Module, size: tuple[int, int], half: bool) -> int:
    with _autocast(half), torch.no_grad():
        images = torch.zeros(1, 3, *size)
        with _LiveStorage() as live:
            network(images)
    return live.peak


def _autocast(half: bool) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=half)


class _LiveStorage(TorchDispatchMode):
    """Counter of the bytes of all storages that operators make, while they are referenced."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._add(leaf.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self._known:
            self._known.add(storage._cdata)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, storage._cdata, storage.nbytes())

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
