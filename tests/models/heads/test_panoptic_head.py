"""PanopticHead against mmdet's head: outputs, losses and gradients."""

import copy

import pytest
import torch
from helpers.heads import (
    SIZE,
    backbone_maps,
    build_ours,
    build_stock,
    data_samples,
    same_points_for_all,
)


@pytest.fixture
def fixed_points(monkeypatch):
    monkeypatch.setattr(torch, "rand", same_points_for_all())


def losses_and_gradients(head, maps, samples):
    losses = head.loss(maps, copy.deepcopy(samples))
    head.zero_grad()
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in head.named_parameters()}


@pytest.mark.parametrize(
    ("objects", "stuff"),
    [((3, 6), True), ((4, 1), False), ((0, 5), True), ((0, 3), False), ((30, 2), True)],
    ids=["panoptic", "instance", "no things", "one image without", "more objects than queries"],
)
def test_losses_and_gradients_are_mmdets(fixed_points, objects, stuff):
    ours = build_ours()
    stock = build_stock(ours)
    maps, samples = backbone_maps(), data_samples(objects, stuff)
    losses, gradients = losses_and_gradients(ours, maps, samples)
    expected_losses, expected_gradients = losses_and_gradients(stock, maps, samples)
    assert losses.keys() == expected_losses.keys()
    for name, loss in losses.items():
        expected = expected_losses[name].squeeze()  # mmdet gives some of them a dimension
        torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-4)
    for name, gradient in gradients.items():
        expected = expected_gradients[name]
        scale = expected.abs().max().clamp_min(1e-3)
        assert (gradient - expected).abs().max() <= 1e-4 * scale, name


@pytest.mark.parametrize("images", [1, 3])
def test_outputs_are_mmdets(images):
    ours = build_ours().eval()
    stock = build_stock(ours).eval()
    maps, samples = backbone_maps(images), data_samples([1] * images)
    with torch.no_grad():
        for mine, expected in zip(ours(maps, samples), stock(maps, samples), strict=True):
            torch.testing.assert_close(torch.stack(mine), torch.stack(expected), atol=1e-4, rtol=0)
        for mine, expected in zip(
            ours.predict(maps, samples), stock.predict(maps, samples), strict=True
        ):
            assert mine.shape[-2:] in ((20, 9), (SIZE, SIZE))
            torch.testing.assert_close(mine, expected, atol=1e-4, rtol=0)
