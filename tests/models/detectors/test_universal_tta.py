"""A model over several views of each image, made by the real transforms."""

import numpy as np
import pytest
import torch
from helpers.random_universal import build_random, random_model_config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS

from mmproscale.errors import InputError
from mmproscale.inference.image_views import ImageViews

STEPS = [
    dict(type="LoadImageFromNDArray"),
    dict(type="Resize", scale=(96, 64), keep_ratio=True),
    dict(type="PackDetInputs", meta_keys=("ori_shape", "img_shape", "img_id")),
]
# All pairs of query and class, for rounding would decide which is the last of the best.
KINDS = dict(panoptic_on=True, semantic_on=True, instance_on=True, max_per_image=24 * 8)


@pytest.fixture(scope="module")
def configs_dir(pytestconfig):
    return pytestconfig.rootpath / "configs"


@torch.no_grad()
def with_sure_masks(model):
    """A random model's masks are hardly the image's: take from each what all pixels share."""
    decoder = model.panoptic_head.pixel_decoder
    data = model.data_preprocessor(batch(None, image(9)), False)
    _, _, embedding = decoder.embed(model.extract_feat(data["inputs"]))
    decoder.mask_feature.weight *= 1000
    decoder.mask_feature.bias.copy_(-decoder.mask_feature(embedding).mean((0, 2, 3)))
    return model


@pytest.fixture(scope="module")
def model(configs_dir):
    config = random_model_config(configs_dir)
    config.test_cfg.update(KINDS)
    return with_sure_masks(build_random(config))


@pytest.fixture(scope="module")
def averaging(model):
    return MODELS.build(dict(type="mmproscale.UniversalTTA", module=model))


def image(seed=0, height=64, width=96):
    """Blocks of colours, as an image's."""
    cells = np.random.default_rng(seed).integers(0, 255, (height // 8 + 1, width // 8 + 1, 3))
    return cells.repeat(8, 0).repeat(8, 1)[:height, :width].astype(np.uint8)


def batch(views, *images):
    steps = Compose(views.pipeline(STEPS) if views else STEPS)
    return pseudo_collate(
        [steps(dict(img=img, img_id=10 + number)) for number, img in enumerate(images)]
    )


@torch.no_grad()
def results(model, data):
    return model.test_step(data)


def semantic(sample):
    return sample.pred_sem_seg.sem_seg[0]


def panoptic(sample):
    return sample.pred_panoptic_seg.sem_seg[0]


def same_segments(one, other):
    """Return the share of pixels whose segments match; their numbers may differ."""
    pairs, counts = torch.stack([one, other]).flatten(1).unique(dim=1, return_counts=True)
    best = {}
    for label, count in zip(pairs[0].tolist(), counts.tolist(), strict=True):
        best[label] = max(best.get(label, 0), count)
    return sum(best.values()) / one.numel()


def assert_equal(one, other):
    assert torch.equal(panoptic(one), panoptic(other))
    assert torch.equal(semantic(one), semantic(other))
    for field in ("labels", "scores", "masks", "bboxes"):
        assert torch.equal(one.pred_instances[field], other.pred_instances[field])


def score_difference(one, other):
    """Return the median difference of the best scores: a mask more or less shifts the order."""
    scores = [sample.pred_instances.scores.sort(descending=True).values for sample in (one, other)]
    return (scores[0][:20] - scores[1][:20]).abs().median()


def assert_close(one, other):
    assert (panoptic(one) == panoptic(other)).float().mean() > 0.999
    assert (semantic(one) == semantic(other)).float().mean() > 0.999
    assert score_difference(one, other) < 1e-4


def test_a_single_view_is_the_plain_result_exactly(model, averaging):
    """Test it in a batch of two sizes, both with padding."""
    images = image(0, 50, 70), image(1, 60, 40)
    plain = results(model, batch(None, *images))
    found = results(averaging, batch(ImageViews(flip=False), *images))
    assert len(found) == 2
    for one, other, source in zip(found, plain, images, strict=True):
        assert_equal(one, other)
        assert panoptic(one).shape == source.shape[:2] and len(panoptic(one).unique()) >= 3
        assert "pred_queries" not in one and one.img_id == other.img_id


@pytest.mark.parametrize("size", [(64, 96), (50, 70)])
def test_the_same_view_twice_is_as_once(model, averaging, size):
    (plain,) = results(model, batch(None, image(0, *size)))
    (found,) = results(averaging, batch(ImageViews((1.0, 1.0), flip=False), image(0, *size)))
    assert_close(found, plain)


def test_the_mirror_image_gives_the_mirrored_result(model, averaging):
    """Test equality up to rounding, for an image without padding and at one scale.

    With padding, masks have other cells, and with more scales queries may be matched differently.
    """
    upright, mirrored = image(), np.ascontiguousarray(image()[:, ::-1])
    data = (batch(ImageViews(), source) for source in (upright, mirrored))
    (one,), (other,) = (results(averaging, views) for views in data)
    assert (semantic(one) == semantic(other).flip(-1)).float().mean() > 0.999
    assert same_segments(panoptic(one), panoptic(other).flip(-1)) > 0.999
    assert len(panoptic(one).unique()) >= 5 and len(semantic(one).unique()) >= 2
    assert score_difference(one, other) < 1e-4
    # Without the mirror image it is not: a network is not symmetric.
    (one,), (other,) = (results(model, batch(None, img)) for img in (upright, mirrored))
    assert (semantic(one) == semantic(other).flip(-1)).float().mean() < 0.95
    assert same_segments(panoptic(one), panoptic(other).flip(-1)) < 0.95


def test_the_mirrored_view_may_come_first(averaging):
    """Use the order of views that mmdet's tools/test.py has."""
    data = batch(ImageViews(), image())
    (expected,) = results(averaging, data)
    data = batch(ImageViews(), image())
    (found,) = results(averaging, {key: views[::-1] for key, views in data.items()})
    assert (semantic(found) == semantic(expected)).float().mean() > 0.999
    assert same_segments(panoptic(found), panoptic(expected)) > 0.999


def test_a_result_does_not_depend_on_the_batch(averaging):
    views = ImageViews((1.0, 1.2))
    images = image(0, 50, 70), image(1, 64, 40), image(2, 50, 70)
    together = results(averaging, batch(views, *images))
    for number, source in enumerate(images):
        (single,) = results(averaging, batch(views, source))
        assert_close(together[number], single)


def test_sizes_that_no_stride_divides(averaging):
    views = ImageViews((0.71, 1.0, 1.37))
    data = batch(views, image(0, 61, 83))
    sizes = {tuple(part[0].shape[-2:]) for part in data["inputs"]}
    assert len(sizes) == 3 and any(side % 4 for size in sizes for side in size)
    (found,) = results(averaging, data)
    assert panoptic(found).shape == semantic(found).shape == (61, 83)
    assert found.pred_instances.masks.shape[1:] == (61, 83)


def test_masks_are_merged_at_the_decoders_size(averaging, monkeypatch):
    from mmproscale.models.detectors import universal_tta

    shapes = []
    merge = universal_tta.merge_views

    def spy(*arguments):
        merged = merge(*arguments)
        shapes.append(tuple(merged[1].shape))
        return merged

    monkeypatch.setattr(universal_tta, "merge_views", spy)
    results(averaging, batch(ImageViews((0.75, 1.0, 1.5)), image()))
    assert shapes == [(24, 16, 24)]  # of the scale nearest to 1, in any order


def test_diverged_weights_are_said(configs_dir):
    config = random_model_config(configs_dir)
    model = build_random(config)
    model.panoptic_head.mask_embed[0].weight.data.fill_(float("nan"))
    averaging = MODELS.build(dict(type="mmproscale.UniversalTTA", module=model))
    with pytest.raises(FloatingPointError, match=r"mask logits of 10 are not finite numbers"):
        results(averaging, batch(ImageViews(), image()))


def test_another_model_is_refused(configs_dir):
    config = random_model_config(configs_dir)
    config.type = "Mask2Former"
    with pytest.raises(InputError, match=r"needs mmproscale\.UniversalSegmentor .* not Mask2Form"):
        MODELS.build(dict(type="mmproscale.UniversalTTA", module=config))
