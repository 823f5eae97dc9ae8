"""Memory of activations, against what can be counted by hand."""

import torch
from torch import nn

from mmproscale.cost.activation_memory import (
    activation_memory,
    detector_training_memory,
    extrapolated_memory,
)

MAP = 4 * 8 * 32 * 48  # bytes of (1, 8, 32, 48) in fp32


class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)])

    def forward(self, images):
        x = images
        for conv in self.convs:
            x = conv(x)
        return x


class Wide(Chain):
    """Its first map is alive until the end."""

    def forward(self, images):
        first = self.convs[0](images)
        return self.convs[2](self.convs[1](first)) + first


def test_without_gradients_a_map_is_dropped_once_it_is_read():
    assert activation_memory(Chain(), (32, 48)).inference == 2 * MAP
    assert activation_memory(Wide(), (32, 48)).inference == 3 * MAP


def test_training_keeps_the_input_of_every_convolution_but_no_weight_and_no_image():
    memory = activation_memory(Chain(), (32, 48))
    assert memory.training == 2 * MAP


def test_mixed_precision_keeps_half_and_its_copies_of_image_and_weights():
    memory = activation_memory(Chain(), (32, 48))
    copies = 2 * (3 * 32 * 48 + 3 * 8 + 8 * 8 + 8 * 8)
    assert memory.training_half == 2 * MAP // 2 + copies


def test_it_grows_with_the_image_and_does_not_change_the_network():
    network = Wide().eval()
    small, large = (activation_memory(network, (32, width)) for width in (48, 96))
    assert large.training == 2 * small.training
    assert not network.training and all(type(p) is nn.Parameter for p in network.parameters())
    assert network(torch.zeros(1, 3, 4, 4)).isfinite().all()


def test_a_batch_norm_that_one_image_could_not_train_keeps_its_input():
    pooled = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8))
    memory = activation_memory(pooled.eval(), (32, 48))
    assert memory.training == 4 * 8


def test_a_detectors_memory_follows_from_two_small_images():
    network = Chain()
    predict = detector_training_memory(network)
    for size in ((32, 48), (192, 640)):
        assert predict(size) == activation_memory(network, size).training
        assert extrapolated_memory(network, size) == activation_memory(network, size)
