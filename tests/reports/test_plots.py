"""Plots: each is written, with a line or bar for each value; wrong endings are refused."""

import matplotlib.figure
import numpy as np
import pytest

from mmproscale.errors import InputError
from mmproscale.reports import plots
from mmproscale.reports.inside_model import Prototypes

CATEGORIES = [{"id": 1, "name": "car", "isthing": 1}, {"id": 2, "name": "road", "isthing": 0}]
IMAGE = np.full((60, 80, 3), 128, np.uint8)
QUALITY = {"all": {"pq": 0.4}, "per_class": {"1": {"pq": 0.2}, "2": {"pq": 0.6}}}
POINTS = {"a": (5.0, 40.0), "b": (8.0, 43.0)}
TIDE = {
    "ap_base": 0.3,
    "delta_ap": dict.fromkeys(["Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"], 0.1),
}


@pytest.fixture
def drawn(monkeypatch):
    """Return the figures that are saved."""
    found = []
    save = matplotlib.figure.Figure.savefig

    def keep(figure, *arguments, **options):
        found.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", keep)
    return found


def texts(figure):
    """Return all that is written in a figure."""
    return {text.get_text() for text in figure.findobj(matplotlib.text.Text)}


@pytest.mark.parametrize(
    ("draw", "arguments", "written"),
    [
        (plots.draw_compute, [{"m2f": {"backbone": 8.0, "encoder": 2.0}}], {"80%", "20%", " 10.0"}),
        (plots.draw_similarity, [{8: np.ones(5), 16: np.ones(5)}, 3], {"stride 8", "stride 16"}),
        (plots.draw_gates, [IMAGE, {16: np.full((3, 4), 0.5)}], {"gate at stride 16"}),
        (plots.draw_exits, [[2, 3, 3, 3], (2, 3, 4), {2: IMAGE}], {"1 (25%)", "3 (75%)", "0 (0%)"}),
        (
            plots.draw_prototypes,
            [IMAGE, [Prototypes(0, 0.9, np.ones((6, 8)), np.full((2, 2), 0.5))], ["car"]],
            {"car, 0.90"},
        ),
        (
            plots.draw_confusion,
            [np.array([[3, 1, 0, 0, 0], [0, 2, 0, 0, 0], [1, 0, 0, 0, 0]]), CATEGORIES],
            {"75", "25", "100", "merged", "extra"},
        ),
        (
            plots.draw_classes,
            [QUALITY, {"small": 0.1, "medium": float("nan"), "large": 0.5}, CATEGORIES],
            {"car", "road", " 20.0", " 60.0", "none", "50.0"},
        ),
        (
            plots.draw_frontier,
            [POINTS, "PQ"],
            {"a", "b", "PQ, percent"},
        ),
        (plots.draw_errors, [{"m2f": TIDE}], {"m2f, AP50 30.0", "missed", "10.0"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_figures_have_their_values(drawn, tmp_path, draw, arguments, written):
    path = draw(tmp_path / "figure.png", *arguments)
    assert path.stat().st_size > 1000
    (figure,) = drawn
    assert written <= texts(figure), texts(figure)


def test_names_of_a_frontier_stay_within_its_axes(drawn, tmp_path):
    points = {f"proscale_m2f_r18_shapes_{cost}": (cost, 40 + cost) for cost in (1, 2, 3)}
    plots.draw_frontier(tmp_path / "figure.png", points, "PQ")
    (axes,) = drawn[0].axes
    box = axes.get_window_extent()
    for text in axes.texts:
        name = text.get_window_extent()
        assert box.x0 <= name.x0 and name.x1 <= box.x1


def test_unknown_endings_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"must end in one of \.png"):
        plots.draw_frontier(tmp_path / "figure.xyz", POINTS, "PQ")
    assert not list(tmp_path.iterdir())
