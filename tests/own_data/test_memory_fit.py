"""Fit into memory: it follows the activations and grows with the memory."""

import pytest
from torch import nn

from mmproscale.cost.activation_memory import training_memory
from mmproscale.cost.model_cost import Network, build_network
from mmproscale.errors import InputError
from mmproscale.own_data import memory_fit
from mmproscale.own_data.choices import crop_sizes
from mmproscale.utils.config import load_config

SIZE = (256, 192)


class Layers(Network):
    """Network of a few layers, without a head."""

    def forward(self, images):
        return self.model(images)


@pytest.fixture
def network() -> Layers:
    return Layers(nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 8, 1)))


def test_memory_is_that_of_the_crop(network):
    fit = memory_fit.fit_memory(network, crop_sizes(SIZE), memory=2)
    assert fit.crop == SIZE
    kept = training_memory(network, SIZE[::-1])
    assert fit.per_image == round(memory_fit.BEYOND_ACTIVATIONS * kept)
    left = 2 * memory_fit.GIB - fit.fixed
    assert fit.images * fit.per_image <= left < (fit.images + 1) * fit.per_image


def test_less_memory_is_fewer_images_then_a_smaller_crop(network):
    fits = [memory_fit.fit_memory(network, crop_sizes(SIZE), m) for m in (4, 1, 0.76, 0.755)]
    order = [(fit.crop[0] * fit.crop[1], fit.images) for fit in fits]
    assert order == sorted(order, reverse=True)
    assert fits[-1].crop < SIZE == fits[0].crop


def test_too_little_memory_is_refused(network):
    with pytest.raises(InputError, match=r"--memory 0\.5 is too little: one image of 128x96"):
        memory_fit.fit_memory(network, crop_sizes(SIZE), memory=0.5)


@pytest.mark.slow
def test_a_model_that_cannot_train_on_one_image_gets_two(configs):
    network = build_network(load_config(configs / "pem_m2f_r18_shapes.py"))
    assert network.mask_head.pixel_decoder.least_images == 2
    fits = [memory_fit.fit_memory(network, crop_sizes(SIZE), m) for m in (0.96, 1.1, 1.6)]
    assert all(fit.images >= 2 for fit in fits) and len({fit.crop for fit in fits}) > 1
    with pytest.raises(InputError, match=r"too little: a batch of 2 of 128x96"):
        memory_fit.fit_memory(network, crop_sizes(SIZE), memory=0.5)


@pytest.mark.slow
def test_a_detector_fits_by_its_area(configs):
    network = build_network(load_config(configs / "dino_r18_camvid.py"))
    small, large = (memory_fit.fit_memory(network, [crop], 4) for crop in ((256, 192), (512, 384)))
    assert small.fixed == large.fixed and small.images > large.images
    assert 2**25 < small.per_image < large.per_image < 4.1 * small.per_image
