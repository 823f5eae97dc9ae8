"""Memory that a network's activations take for one image, known before anything is allocated.

Fake tensors carry sizes and no data, so a model is followed through at any size in seconds.
What an operator allocates for itself and gives back is not seen, nor what an allocator keeps;
losses and optimiser are not in it.
"""

from __future__ import annotations

import copy
import weakref
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class ActivationMemory:
    """Bytes for one image; ``half`` is under autocast to 16 bits, its copies of weights included.

    Args:
        inference: The most that is alive at once without gradients.
        inference_half: The same in mixed precision.
        training: What the forward pass keeps for the backward pass.
        training_half: The same in mixed precision.
    """

    inference: int
    inference_half: int
    training: int
    training_half: int


def activation_memory(network: nn.Module, size: tuple[int, int]) -> ActivationMemory:
    """Memory of ``network(images)`` for one image of ``size`` (H, W), by how it is run."""
    return ActivationMemory(
        inference=_peak(network, size, half=False),
        inference_half=_peak(network, size, half=True),
        training=training_memory(network, size, half=False),
        training_half=training_memory(network, size, half=True),
    )


def training_memory(network: nn.Module, size: tuple[int, int], half: bool = False) -> int:
    """Bytes that the forward pass of one image of ``size`` (H, W) keeps for the backward pass."""
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage
        return tensor

    network = _training_one_image(network)
    with FakeTensorMode(allow_non_fake_inputs=True):
        images = torch.zeros(1, 3, *size)
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with torch.enable_grad(), _autocast(half), hooks:
            outputs = network(images)  # noqa: F841  (its graph holds what is kept)
        for tensor in (*network.parameters(), *network.buffers(), images):
            kept.pop(tensor.untyped_storage()._cdata, None)
    return sum(storage.nbytes() for storage in kept.values())


def _training_one_image(network: nn.Module) -> nn.Module:
    """A copy that trains but for its batch norms: one value of a channel has no variance (PEM).

    As they are evaluated they keep what they keep in training, their input.
    """
    network = copy.deepcopy(network).train()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    return network


def _peak(network: nn.Module, size: tuple[int, int], half: bool) -> int:
    with FakeTensorMode(allow_non_fake_inputs=True), _autocast(half), torch.no_grad():
        images = torch.zeros(1, 3, *size)
        with _LiveStorage() as live:
            network(images)
    return live.peak


def _autocast(half: bool) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=half)


class _LiveStorage(TorchDispatchMode):
    """Follows the bytes of all storages that operators make, until the last reference is gone."""

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
