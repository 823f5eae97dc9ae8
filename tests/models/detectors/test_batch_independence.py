"""A result does not depend on the batch, for every family and images of mixed sizes."""

from typing import Any

import pytest
import torch
from helpers.mixed_batches import BUILDERS, SIZES, Predictions, batch, build
from mmengine.optim import OptimWrapper
from torch import Tensor

from mmproscale.models.detectors.batch_independence import predict_by_size


def equal_pixels(one: Tensor, other: Tensor) -> tuple[int, int]:
    assert one.shape == other.shape
    return int((one == other).sum()), one.numel()


def map_of(sample: Any) -> Tensor:
    if "pred_panoptic_seg" in sample:
        return sample.pred_panoptic_seg.sem_seg
    return sample.pred_sem_seg.data


def assert_same_segments(found: list[Any], expected: list[Any]) -> None:
    """Assert equal labels and segments, and at most one pixel in 10,000 that differs."""
    for one, other in zip(found, expected, strict=True):
        assert map_of(one).unique().tolist() == map_of(other).unique().tolist()
    assert sum(len(map_of(sample).unique()) for sample in expected) > 2 * len(expected)
    pixels = [equal_pixels(map_of(a), map_of(b)) for a, b in zip(found, expected, strict=True)]
    equal, total = map(sum, zip(*pixels, strict=True))
    assert equal / total >= 0.9999


def assert_same_instances(found: list[Any], expected: list[Any]) -> None:
    for one, other in zip(found, expected, strict=True):
        one, other = one.pred_instances, other.pred_instances
        assert torch.equal(one.labels, other.labels) and len(one.labels)
        torch.testing.assert_close(one.scores, other.scores, rtol=0, atol=1e-5)
        torch.testing.assert_close(one.bboxes, other.bboxes, rtol=0, atol=1e-2)  # in pixels


def assert_close_logits(found: Predictions, expected: Predictions, tolerance: float) -> None:
    for image in range(len(SIZES)):
        for one, other in zip(found.logits[image], expected.logits[image], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("family", BUILDERS)
def test_results_do_not_depend_on_the_batch(family):
    model = build(family)
    single = Predictions(model, 1)
    for batch_size in (3, 8):
        together = Predictions(model, batch_size)
        assert [sample.img_id for sample in together.samples] == list(range(len(SIZES)))
        if hasattr(model, "bbox_head"):
            assert_same_instances(together.samples, single.samples)
        else:
            assert_same_segments(together.samples, single.samples)
        # RT's logits reach 9, and its decoder's convolutions round by batch: 10 steps of fp32.
        assert_close_logits(together, single, 1.5e-5 if family == "RT" else 1e-5)
        exits = [[s.get("encoder_exit") for s in p.samples] for p in (single, together)]
        assert exits[0] == exits[1]
        assert len(set(exits[0])) > 1 or "gate" not in family
    assert len(together.sizes) < len(single.sizes)  # images of one size run together


@pytest.mark.slow
@pytest.mark.parametrize("family", BUILDERS)
def test_logits_in_double_precision(family):
    model = build(family).double()
    assert_close_logits(Predictions(model, 8), Predictions(model, 1), 1e-10)


def test_images_of_one_size_run_together_and_come_back_in_order():
    seen = []

    def preprocess(data: dict, training: bool) -> dict:
        assert not training
        (image,) = data["inputs"]
        return dict(inputs=image[None], data_samples=data["data_samples"])

    def predict(data: dict) -> list[int]:
        seen.append(tuple(data["inputs"].shape))
        return [10 * sample for sample in data["data_samples"]]

    images = [torch.zeros(3, *size) for size in ((4, 6), (8, 6), (4, 6), (6, 4), (8, 6))]
    found = predict_by_size(preprocess, predict, dict(inputs=images, data_samples=[3, 1, 2, 0, 5]))
    assert found == [30, 10, 20, 0, 50]
    assert seen == [(2, 3, 4, 6), (2, 3, 8, 6), (1, 3, 6, 4)]
    stacked = dict(inputs=torch.zeros(2, 3, 4, 6), data_samples=[7, 8])  # as default_collate does
    assert predict_by_size(preprocess, predict, stacked) == [70, 80]
    assert predict_by_size(preprocess, predict, dict(inputs=[], data_samples=[])) == []


def test_training_pads_to_the_largest_image_of_the_batch(monkeypatch):
    model, shapes = build("DINO"), []

    def loss(images: Tensor, samples: list[Any]) -> dict[str, Tensor]:
        shapes.append(tuple(images.shape))
        return dict(loss=next(model.parameters()).sum())

    monkeypatch.setattr(model, "loss", loss)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    model.train_step(batch([0, 2]), wrapper)
    assert shapes == [(2, 3, 96, 96)]


def test_validation_gives_the_results_of_a_test():
    model = build("M2F")
    with torch.no_grad():
        validated, tested = (step(batch([1, 2])) for step in (model.val_step, model.test_step))
    assert [s.img_id for s in validated] == [1, 2]
    for one, other in zip(validated, tested, strict=True):
        assert torch.equal(map_of(one), map_of(other))
