"""Losses of a head's predictions: precision, weights, images without objects, and errors."""

import copy
import dataclasses

import pytest
import torch
from helpers.heads import (
    backbone_maps,
    build_ours,
    build_stock,
    data_samples,
    same_points_for_all,
)

from mmproscale.errors import InputError
from mmproscale.models.criterion import mask_criterion


@pytest.fixture
def fixed_points(monkeypatch):
    monkeypatch.setattr(torch, "rand", same_points_for_all())


def test_without_objects_there_is_no_mask_loss():
    losses = build_ours().loss(backbone_maps(), data_samples([0, 0], stuff=False))
    assert losses["loss_mask"] == losses["d1.loss_dice"] == 0
    assert losses["loss_cls"] > 0


def test_losses_do_not_depend_on_the_order_of_objects(fixed_points):
    head, maps, samples = build_ours(), backbone_maps(1), data_samples([6])
    reordered = copy.deepcopy(samples)
    order = [3, 0, 5, 1, 4, 2]
    instances = reordered[0].gt_instances
    instances.labels = instances.labels[order]
    instances.masks.masks = instances.masks.masks[order]
    expected = head.loss(maps, samples)
    for name, loss in head.loss(maps, reordered).items():
        torch.testing.assert_close(loss, expected[name], msg=name)


def test_matching_and_losses_are_in_fp32_under_autocast(fixed_points, monkeypatch):
    head, maps, samples = build_ours(), backbone_maps(), data_samples([3, 2])
    seen = []
    criterion = head.criterion
    matching = mask_criterion.match

    def spy_on_matching(predictions, *rest):
        parts = (part for part in vars(predictions).values() if torch.is_tensor(part))
        seen.extend((part.dtype, torch.is_autocast_enabled("cpu")) for part in parts)
        return matching(predictions, *rest)

    monkeypatch.setattr(mask_criterion, "match", spy_on_matching)
    for part in ("_class_losses", "_image_losses"):
        original = getattr(type(criterion), part)

        def spy(self, first, *rest, original=original):
            seen.append((first.dtype, torch.is_autocast_enabled("cpu")))
            return original(self, first, *rest)

        monkeypatch.setattr(type(criterion), part, spy)
    with torch.autocast("cpu", torch.bfloat16):
        predictions = head.decode(maps)
        assert predictions.mask_embeddings.dtype == torch.bfloat16
        losses = head.loss(maps, samples)
    assert set(seen) == {(torch.float32, False)}
    expected = head.loss(maps, samples)
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected[name], rtol=0.1, atol=0.1, msg=name)
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_diverged_training_is_one_line_of_error():
    head, maps = build_ours(), backbone_maps()
    maps[0] = maps[0] * float("nan")
    with pytest.raises(FloatingPointError, match=r"matching cost \w+Cost is not finite") as error:
        head.loss(maps, data_samples([3, 2]))
    assert "\n" not in str(error.value)


def test_classes_without_weight_give_no_loss_as_mmdets(fixed_points):
    ours = build_ours()
    stock = build_stock(ours)
    weights = [1.0] * 8 + [0.0]
    stock.class_weight = stock.loss_cls.class_weight = weights
    ours.loss_cls.class_weight = weights
    ours.criterion = dataclasses.replace(ours.criterion, class_weight=weights)
    maps, samples = backbone_maps(), data_samples([0, 0], stuff=False)
    losses, expected = ours.loss(maps, copy.deepcopy(samples)), stock.loss(maps, samples)
    sum(losses.values()).backward()
    assert all(loss == expected[name] == 0 for name, loss in losses.items())
    assert all(p.grad.isfinite().all() for p in ours.parameters())


def test_no_class_weight_is_a_weight_of_one_for_each_class(fixed_points):
    head, maps, samples = build_ours(), backbone_maps(), data_samples([3, 2])
    losses = []
    for weights in (None, [1.0] * 9):
        head.loss_cls.class_weight = weights
        head.criterion = dataclasses.replace(head.criterion, class_weight=weights)
        losses.append(head.loss(maps, samples)["loss_cls"])
    torch.testing.assert_close(*losses)


def test_invalid_targets_and_ratios_are_errors():
    head, maps = build_ours(), backbone_maps()
    with pytest.raises(InputError, match="2 images, but ground truth for 1"):
        head.loss(maps, data_samples([3]))
    for wrong in (dict(oversample_ratio=0.5), dict(importance_ratio=1.5)):
        with pytest.raises(InputError, match=r"oversample_ratio=.* importance_sample_ratio="):
            dataclasses.replace(head.criterion, **wrong)
