"""Costs of detectors with exits: ECO-M2F's Table 7, and layers by themselves as they are traced."""

import pytest
import torch
from helpers.early_exit_detectors import NAMES, early_exit

from mmproscale.cost.cost_report import exit_cost
from mmproscale.cost.model_cost import Network, build_network, model_cost
from mmproscale.planning.published import PUBLISHED_DETR
from mmproscale.utils.config import load_config

ENCODER_SIZE, TOTAL_SIZE = (800, 1184), (800, 1088)
DETR, *ECO = PUBLISHED_DETR


@pytest.fixture(scope="module")
def detr(configs):
    return build_network(load_config(configs / "eco_detr_r50_coco.py"))


def test_detrs_costs_are_the_papers_and_each_exit_has_its_share(detr):
    cost = model_cost(detr, ENCODER_SIZE)
    assert cost.pixel_decoder / 1e9 == pytest.approx(DETR.encoder, rel=0.005)
    assert list(cost.saved) == [2, 3, 4, 5, 6]
    for exit_ in cost.saved:
        at_exit = exit_cost(cost, exit_)
        assert at_exit.pixel_decoder / 1e9 == pytest.approx(exit_ / 6 * DETR.encoder, rel=0.005)
        assert cost.total - at_exit.total == cost.pixel_decoder - at_exit.pixel_decoder
    total = model_cost(detr, TOTAL_SIZE).total / 1e9
    assert total == pytest.approx(DETR.total, rel=0.015)


def test_published_gates_are_between_the_exits(detr):
    cost = model_cost(detr, ENCODER_SIZE)
    for row in ECO:
        assert exit_cost(cost, 2).pixel_decoder / 1e9 < row.encoder
        assert row.encoder < exit_cost(cost, 4).pixel_decoder / 1e9


def test_an_exit_gate_adds_only_its_linear_layer(detr, configs):
    plain = build_network(load_config(configs / "detr_r50_coco.py"))
    costs = [model_cost(network, (256, 320)) for network in (detr, plain)]
    assert costs[0].total - costs[1].total == 5 * 256
    assert costs[0].params - costs[1].params == 5 * 257
    assert costs[1].saved == {}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "DDQDETR"])
def test_layers_cost_what_is_traced(name):
    model = early_exit(name).eval()
    cost = model_cost(Network(model), (160, 224))
    feats = model.extract_feat(torch.zeros(1, 3, 160, 224))
    layers = model.layer_costs(feats)
    assert len(layers) == 4
    for exit_ in model.exits:
        assert exit_cost(cost, exit_).pixel_decoder == sum(layers[:exit_])
