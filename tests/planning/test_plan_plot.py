"""Plot of a plan."""

import numpy as np
import pytest
from helpers.plan_candidates import M2F, growth
from PIL import Image

from mmproscale.planning.plan_plot import draw_plan
from mmproscale.planning.ranking import PaperRanking

PRICES = {growth(1, 1, 1): 100.0, growth(2, 2, 2): 150.0, M2F: 200.0}


@pytest.mark.parametrize("budget", [120.0, 180.0])
def test_the_budget_is_a_red_line_at_its_price(tmp_path, budget):
    candidates = list(PRICES)
    ranking = PaperRanking.of_backbone("swin-t")
    labels = ("plan", "GFLOPs")
    path = tmp_path / "plan.png"
    draw_plan(path, candidates, candidates, candidates[0], ranking, PRICES.get, budget, labels)
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    reds = (pixels[..., 0] > 200) & (pixels[..., 1:] < 80).all(-1)
    # The axis holds the prices with a margin of a twentieth of their range at either side.
    column = reds.sum(0).argmax() / pixels.shape[1]
    assert column == pytest.approx(0.06 + 0.93 * (budget - 95) / 110, abs=0.03)
    assert [file.name for file in tmp_path.iterdir()] == ["plan.png"]
