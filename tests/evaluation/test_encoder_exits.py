"""Histogram of encoder exits and mean cost, each image at its own size."""

import pytest
from mmengine.registry import init_default_scope

from mmproscale.cost.cost_report import exit_cost
from mmproscale.cost.model_cost import build_network, model_cost
from mmproscale.errors import InputError
from mmproscale.evaluation.encoder_exits import EncoderExitMetric, exit_table
from mmproscale.registry import METRICS
from mmproscale.utils.config import load_config

SMALL, LARGE = (64, 64), (96, 128)
TAKEN = [(2, SMALL), (2, LARGE), (5, SMALL), (6, LARGE)]


def samples(taken):
    return [
        dict(img_id=number, encoder_exit=exit_, batch_input_shape=size)
        for number, (exit_, size) in enumerate(taken)
    ]


@pytest.fixture
def config(configs):
    init_default_scope("mmdet")  # a runner sets its own before it builds metrics
    return load_config(configs / "eco_m2f_r18_shapes.py")


@pytest.mark.slow
def test_histogram_and_mean_of_each_images_own_cost(config):
    metric = METRICS.build(dict(type="mmproscale.EncoderExitMetric", model=config.model))
    for sample in samples(TAKEN):
        metric.process(None, [sample])
    figures = metric.evaluate(len(TAKEN))
    network = build_network(config)
    costs = [exit_cost(model_cost(network, size), exit_) for exit_, size in TAKEN]
    mean = sum(cost.total for cost in costs) / 4e9
    assert figures["encoder/mean_exit"] == 15 / 4
    assert figures["encoder/GFLOPs"] == pytest.approx(mean)
    report = metric.report["early_exit"]
    assert {k: entry["images"] for k, entry in report["exits"].items()} == {
        "2": 2,
        "3": 0,
        "4": 0,
        "5": 1,
        "6": 1,
    }
    at_2 = (costs[0].total + costs[1].total) / 2e9
    assert report["exits"]["2"]["gmacs"] == pytest.approx(at_2)
    assert report["exits"]["3"]["gmacs"] is None
    published = sum(cost.published_pixel_decoder for cost in costs) / 4e9
    assert report["gmacs"]["published_pixel_decoder"] == pytest.approx(published)
    table = exit_table(report)
    assert "50.0%" in table and f"{mean:.4g}" in table


@pytest.mark.slow
def test_images_that_fill_up_the_last_batch_count_once(config):
    metric = EncoderExitMetric(config.model)
    metric.process(None, samples(TAKEN) + samples(TAKEN)[:1])
    metric.evaluate(5)
    assert metric.report["early_exit"]["exits"]["2"]["images"] == 2


@pytest.mark.slow
def test_one_exit_for_all_costs_what_it_runs(config):
    config.model.panoptic_head.pixel_decoder.exit = 4
    metric = EncoderExitMetric(config.model)
    metric.process(None, samples([(4, SMALL)]))
    figures = metric.evaluate(1)
    assert list(metric.report["early_exit"]["exits"]) == ["4"]
    assert figures["encoder/GFLOPs"] * 1e9 == model_cost(build_network(config), SMALL).total


def test_a_model_without_exits_is_refused(configs):
    init_default_scope("mmdet")
    metric = EncoderExitMetric(load_config(configs / "pem_m2f_r18_shapes.py").model)
    metric.process(None, samples([(2, SMALL)]))
    with pytest.raises(InputError, match="its model has no encoder with exits"):
        metric.evaluate(1)


def test_a_model_that_does_not_say_where_is_refused(config):
    metric = EncoderExitMetric(config.model)
    with pytest.raises(InputError, match="does not say where image 3 left"):
        metric.process(None, [dict(img_id=3, batch_input_shape=SMALL)])
