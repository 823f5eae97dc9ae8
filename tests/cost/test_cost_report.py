"""What each exit costs: the paper's figures, and what a model that is left there really runs."""

import pytest

from mmproscale.cost.cost_report import ExitCost, exit_cost, mean_cost
from mmproscale.cost.model_cost import build_network, model_cost
from mmproscale.utils.config import load_config

SMALL = ["eco_m2f_r18_shapes", "eco-lite_m2f_r18_shapes", "eco-proscale_m2f_r18_shapes"]


def config_of(configs, name, **decoder):
    config = load_config(configs / f"{name}.py")
    config.model.panoptic_head.pixel_decoder.update(decoder)
    return config


def test_eco_m2fs_exits_cost_what_the_paper_says(configs):
    cost = model_cost(build_network(config_of(configs, "eco_m2f_swin-t_cityscapes")), (1024, 2048))
    pixel_decoder = {k: exit_cost(cost, k).published_pixel_decoder / 1e9 for k in cost.saved}
    assert list(pixel_decoder) == [2, 3, 4, 5, 6]
    assert pixel_decoder[2] == pytest.approx(155.26, rel=0.005)  # all at exit 2: beta = 0.1
    assert pixel_decoder[6] == pytest.approx(281.13, rel=0.005)
    layers = [pixel_decoder[k + 1] - pixel_decoder[k] for k in (2, 3, 4, 5)]
    assert layers == pytest.approx([31.4] * 4, rel=0.005)
    assert pixel_decoder[2] - 2 * layers[0] == pytest.approx(92, rel=0.01)
    assert exit_cost(cost, 2).published_total / 1e9 == pytest.approx(411.98, rel=0.01)


@pytest.mark.parametrize("name", SMALL)
def test_an_exits_cost_is_that_of_the_model_which_is_left_there(configs, name):
    cost = model_cost(build_network(config_of(configs, name)), (96, 130))
    gate = next(part.macs for part in cost.parts if part.name == "exit gate")
    assert gate == 64 * len(cost.saved) < 1e-5 * cost.total
    for exit_ in cost.saved:
        forced = model_cost(build_network(config_of(configs, name, exit=exit_)), (96, 130))
        assert not forced.saved
        at_exit = exit_cost(cost, exit_)
        assert at_exit.total == forced.total + gate
        assert at_exit.published_pixel_decoder == forced.published_pixel_decoder + gate
        assert exit_cost(forced, exit_).total == forced.total


@pytest.mark.parametrize("name", SMALL)
def test_layers_cost_what_the_schedule_says(configs, name):
    network = build_network(config_of(configs, name))
    cost = model_cost(network, (96, 130))
    encoder = network.mask_head.pixel_decoder.encoder
    shapes = {32: (3, 5), 16: (6, 10), 8: (12, 20)}
    layers = encoder.schedule.cost(shapes, **encoder.widths)
    for exit_, saved in cost.saved.items():
        assert saved == sum(layers[index] for index in encoder.schedule.skipped_layers(exit_))
    assert cost.saved[max(cost.saved)] == 0


def test_a_model_without_a_gate_has_one_cost(configs):
    cost = model_cost(build_network(load_config(configs / "m2f_r18_shapes.py")), (64, 64))
    assert not cost.saved
    assert exit_cost(cost, 3).total == cost.total


def test_following_a_model_leaves_its_gate_as_it_was(configs):
    network = build_network(config_of(configs, SMALL[0]))
    model_cost(network, (64, 64))
    assert network.mask_head.pixel_decoder.exit is None


def test_the_mean_over_images():
    mean = mean_cost([ExitCost(1, 2, 3, 4), ExitCost(3, 2, 4, 8)])
    assert mean == ExitCost(2, 2, 3.5, 6)
