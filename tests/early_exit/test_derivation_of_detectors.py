"""Step B on small detectors: AP, matches and costs equal those at a forced exit."""

import copy

import numpy as np
import pytest
import torch
from helpers.tiny_eco import IMAGES, write_boxes
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from mmproscale.cost.cost_report import exit_cost
from mmproscale.cost.model_cost import Network, model_cost
from mmproscale.early_exit.derivation import derive, load_gated_model, training_images
from mmproscale.early_exit.derived_file import read_table
from mmproscale.early_exit.image_quality import BoxImageQuality
from mmproscale.errors import InputError
from mmproscale.registry import MODELS
from mmproscale.utils.config import load_config

NAMES = ("eco_detr_r18_shapes", "eco_dino_r18_shapes")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return write_boxes(tmp_path_factory.mktemp("data") / "shapes")


def config_of(name, shapes, configs, **more):
    options = {"data_root": str(shapes), "test_dataloader.num_workers": 0}
    options |= {"test_dataloader.persistent_workers": False}
    return load_config(configs / f"{name}.py", options | more)


@pytest.fixture(scope="module", params=NAMES)
def derived(request, shapes, configs, tmp_path_factory):
    """A model, its dataset and its derived table."""
    config = config_of(request.param, shapes, configs)
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    init_default_scope("mmdet")
    model = MODELS.build(copy.deepcopy(config.model))
    model.init_weights()
    torch.save(dict(meta={}, state_dict=model.state_dict()), folder / "step_a.pth")
    out = folder / "derived.parquet"
    derive(copy.deepcopy(config), folder / "step_a.pth", out, torch.device("cpu"))
    dataset = training_images(config)
    model, _ = load_gated_model(config, folder / "step_a.pth", dataset, None)
    return model.eval(), dataset, read_table(out)


@pytest.mark.slow
def test_the_file_has_its_origin(derived):
    model, dataset, table = derived
    origin = table.origin
    assert (origin.quality, origin.gate) == ("ap", "exit_gate.linear")
    assert origin.exits == (2, 3, 4, 5, 6)
    names = [category["name"] for category in origin.categories]
    assert names == list(dataset.metainfo["classes"])
    assert origin.schedule == str(model.encoder.schedule) and origin.num_layers == 6
    assert len(table) == len(dataset) > 0.5 * IMAGES
    assert (table.sizes == 128).all(), "the size of the test pipeline"


@torch.no_grad()
def test_qualities_and_matches_equal_those_at_a_forced_exit(derived):
    model, dataset, table = derived
    measure, matches = BoxImageQuality(dataset), table.counts
    for place, exit_ in enumerate(table.origin.exits):
        forced = copy.deepcopy(model)
        forced.exit = exit_
        for image in (0, 3):
            (found,) = forced.test_step(pseudo_collate([dataset[image]]))
            quality, expected = measure.measure(found.to_dict())
            assert table.quality[image, place] == pytest.approx(quality, nan_ok=True)
            own = (matches.images == image) & (matches.exits == place)
            np.testing.assert_allclose(matches.scores[own], expected.scores, atol=1e-5)
            assert (matches.labels[own] == expected.labels).mean() > 0.9
            truths = matches.truth_labels[matches.truth_images == image]
            assert truths.tolist() == expected.truth_labels.tolist() != []
    assert len(matches.scores) == len(table) * 5 * 40


@torch.no_grad()
def test_gate_inputs_and_costs_are_those_of_the_model_as_run(derived):
    model, dataset, table = derived
    seen = []
    hook = model.exit_gate.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.test_step(pseudo_collate([dataset[3]]))
    hook.remove()
    np.testing.assert_allclose(table.gate_inputs[3], seen[0][0], atol=1e-5)
    cost = model_cost(Network(model), tuple(table.sizes[0]))
    expected = [exit_cost(cost, exit_).total for exit_ in table.origin.exits]
    assert (table.costs == expected).all()


def test_a_quality_or_a_model_that_does_not_fit(shapes, configs, tmp_path):
    config = config_of("eco_detr_r18_shapes", shapes, configs)
    with pytest.raises(InputError, match="quality pq needs panoptic images"):
        derive(config, tmp_path / "none.pth", tmp_path / "out", torch.device("cpu"), "pq")
    plain = config_of("detr_r18_shapes", shapes, configs)
    with pytest.raises(InputError, match=r"has no exit gate: name a config.*model.exit_gate="):
        derive(plain, tmp_path / "none.pth", tmp_path / "out", torch.device("cpu"), "ap50")
