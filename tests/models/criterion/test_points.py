"""Points of the losses: candidates at which a mask is least certain, and random points."""

import pytest
import torch

from mmproscale.models.criterion import points as points_module
from mmproscale.models.criterion.points import sample, uncertain_points


def test_the_least_sure_candidates_are_chosen(monkeypatch):
    drawn = []
    rand = torch.rand
    monkeypatch.setattr(torch, "rand", lambda *a, **k: drawn.append(rand(*a, **k)) or drawn[-1])
    logits = torch.randn(2, 3, 9, 7)
    chosen = uncertain_points(logits, 40, oversample_ratio=3, importance_ratio=0.75)
    assert chosen.shape == (2, 3, 40, 2)
    candidates, anywhere = drawn
    assert candidates.shape == (2, 120, 2) and anywhere.shape == (2, 10, 2)
    certainty = sample(logits, candidates).abs()
    for n in range(2):
        for layer in range(3):
            expected = candidates[n, certainty[n, layer].argsort()[:30]]
            mine = chosen[n, layer, :30]
            assert {tuple(p) for p in mine.tolist()} == {tuple(p) for p in expected.tolist()}
            assert torch.equal(chosen[n, layer, 30:], anywhere[n])


@pytest.mark.parametrize(("ratio", "uncertain"), [(0.0, 0), (1.0, 16)])
def test_all_or_none_may_be_uncertain(ratio, uncertain):
    logits = torch.randn(1, 1, 8, 8)
    assert uncertain_points(logits, 16, 3.0, ratio).shape == (1, 1, 16, 2)


def test_steps_do_not_matter(monkeypatch):
    logits = torch.randn(5, 2, 8, 8)
    results = []
    for step in (1, 300, 10**9):
        monkeypatch.setattr(points_module, "CANDIDATES_PER_STEP", step)
        torch.manual_seed(3)
        results.append(uncertain_points(logits, 16, 3.0, 0.75).sort(dim=2).values)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_no_gradient_flows_through_the_choice():
    assert not uncertain_points(
        torch.randn(1, 1, 8, 8, requires_grad=True), 8, 3, 0.5
    ).requires_grad
