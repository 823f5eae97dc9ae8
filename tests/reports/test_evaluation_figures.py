"""Figures of evaluations, from files."""

import json

import pytest
from PIL import Image

from mmproscale.errors import InputError
from mmproscale.evaluation.stored_predictions import PanopticResults
from mmproscale.reports import evaluation_figures, plots
from mmproscale.reports.compared_image import from_files
from mmproscale.reports.evaluation_figures import read_tested_model
from mmproscale.reports.evaluation_options import Evaluation
from mmproscale.utils.config import load_config

from .test_compared_image import REFERENCE, photos, truth  # noqa: F401  (fixtures)


@pytest.fixture
def evaluation(truth, photos):  # noqa: F811
    source = from_files(PanopticResults(REFERENCE / "pred.json", None, truth))
    return Evaluation(truth, str(photos), ["ours", "again"], [source, source])


@pytest.mark.parametrize("name", ["confusion", "classes", "errors", "masks"])
def test_each_figure_is_drawn(evaluation, tmp_path, name):
    draw = getattr(evaluation_figures, f"{name}_figure")
    path = draw(evaluation, tmp_path / f"{name}.png", 100)
    with Image.open(path) as picture:
        assert min(picture.size) > 200


def test_errors_are_those_of_the_predicted_things(evaluation, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(plots, "draw_errors", lambda path, models: drawn.update(models))
    evaluation_figures.errors_figure(evaluation, tmp_path / "errors.png", 100)
    assert drawn["ours"] == drawn["again"]
    assert 0 < drawn["ours"]["ap_base"] < 1 and sum(drawn["ours"]["counts"].values()) > 0


def test_data_without_things_have_no_errors(evaluation, tmp_path):
    evaluation.truth.things.clear()
    with pytest.raises(InputError, match="has no things"):
        evaluation_figures.errors_figure(evaluation, tmp_path / "errors.png", 100)


def test_a_tested_model_has_its_figure_and_cost(tmp_path):
    file = tmp_path / "metrics.json"
    file.write_text(json.dumps({"all": {"pq": 0.436}}))
    with pytest.raises(InputError, match="has 0 configs"):
        read_tested_model(file)
    (tmp_path / "m2f_r18_shapes.py").write_text(load_config("m2f_r18_shapes").pretty_text)
    found = read_tested_model(file)
    assert (found.name, found.quality, found.percent) == ("m2f_r18_shapes", "PQ", 43.6)
    assert found.gmacs > 0.1
    file.write_text("[]")
    with pytest.raises(InputError, match="is not a metrics"):
        read_tested_model(file)
