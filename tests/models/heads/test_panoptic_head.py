"""Our head against mmdet's own: outputs, losses and gradients; and ground truth at its edges."""

import copy
import dataclasses

import pytest
import torch
from helpers.heads import (
    SIZE,
    backbone_maps,
    build_ours,
    build_stock,
    data_samples,
    head_config,
    same_points_for_all,
)

from mmproscale.errors import InputError
from mmproscale.models.criterion import QueryPredictions, mask_criterion
from mmproscale.models.heads import PanopticHead
from mmproscale.models.query_decoders import masked_attention


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


def test_weights_have_mmdets_names():
    ours = build_ours()
    assert ours.state_dict().keys() == build_stock(ours).state_dict().keys()


def zero_area():
    samples = data_samples([3, 2])
    samples[0].gt_instances.masks.masks[1] = 0
    return samples


@pytest.mark.parametrize(
    "samples",
    [
        data_samples([0, 0], stuff=False),
        data_samples([0, 4], stuff=False),
        zero_area(),
        data_samples([40, 1]),
    ],
    ids=["no objects", "one image without", "zero area", "more objects than queries"],
)
def test_every_trainable_parameter_gets_a_finite_gradient(samples):
    head = build_ours()
    losses, gradients = losses_and_gradients(head, backbone_maps(), samples)
    assert all(loss.isfinite() for loss in losses.values())
    for name, gradient in gradients.items():
        assert gradient is not None, name
        assert gradient.isfinite().all(), name


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


def test_diverged_training_is_said_in_one_line():
    head, maps = build_ours(), backbone_maps()
    maps[0] = maps[0] * float("nan")
    with pytest.raises(FloatingPointError, match="matching cost is not finite") as error:
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
    losses, gradients = losses_and_gradients(ours, maps, samples)
    expected = stock.loss(maps, samples)
    assert all(loss == expected[name] == 0 for name, loss in losses.items())
    assert all(gradient.isfinite().all() for gradient in gradients.values())


def test_all_classes_weigh_the_same_if_none_is_given(fixed_points):
    head, maps, samples = build_ours(), backbone_maps(), data_samples([3, 2])
    losses = []
    for weights in (None, [1.0] * 9):
        head.loss_cls.class_weight = weights
        head.criterion = dataclasses.replace(head.criterion, class_weight=weights)
        losses.append(head.loss(maps, samples)["loss_cls"])
    torch.testing.assert_close(*losses)


def test_what_cannot_be_trained_is_said():
    head, maps = build_ours(), backbone_maps()
    with pytest.raises(InputError, match="2 images, but ground truth for 1"):
        head.loss(maps, data_samples([3]))
    with pytest.raises(InputError, match=r"oversample_ratio=0.5"):
        dataclasses.replace(head.criterion, oversample_ratio=0.5)
    config = head_config()
    config.train_cfg = None
    with pytest.raises(InputError, match="no train_cfg"):
        PanopticHead(**config).loss(maps, data_samples([3, 2]))


def test_full_masks_are_only_computed_for_results(monkeypatch):
    head, maps, samples = build_ours(), backbone_maps(), data_samples([3, 2])
    calls = []
    masks = QueryPredictions.masks
    monkeypatch.setattr(
        QueryPredictions, "masks", lambda self, layer=-1: calls.append(layer) or masks(self, layer)
    )
    head.loss(maps, samples)
    assert calls == []
    head.predict(maps, samples)
    assert calls == [-1]


@torch.no_grad()
def test_projected_queries_see_the_masks_that_projected_pixels_show(monkeypatch):
    head, maps = build_ours().eval(), backbone_maps()
    torch.nn.init.normal_(head.pixel_decoder.mask_feature.bias)
    reads = []
    of_stock = masked_attention.mask_logits

    def spy(*args):
        reads.append(of_stock(*args))
        return reads[-1]

    monkeypatch.setattr(masked_attention, "mask_logits", spy)
    projected, pixels = head.decode(maps), head.decode(maps, project_queries=False)
    assert projected.mask_bias is not None and pixels.mask_bias is None
    assert projected.mask_features.shape == pixels.mask_features.shape
    for layer in range(len(pixels.class_logits)):
        torch.testing.assert_close(
            projected.masks(layer), pixels.masks(layer), atol=1e-4, rtol=0, msg=str(layer)
        )
    half = len(reads) // 2
    for one, other in zip(reads[:half], reads[half:], strict=True):
        unsure = one.abs() < 1e-4
        assert torch.equal((one >= 0) | unsure, (other >= 0) | unsure)
    torch.testing.assert_close(projected.class_logits, pixels.class_logits, atol=1e-4, rtol=0)


def test_inference_projects_no_pixel_and_training_does(monkeypatch):
    head, maps, samples = build_ours(), backbone_maps(), data_samples([3, 2])
    calls = []
    head.pixel_decoder.mask_feature.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        head.predict(maps, samples), head(maps, samples)
    assert not calls
    head.loss(maps, samples)
    assert calls == [1]


def test_a_stock_pixel_decoder_fits():
    ours = build_ours()
    config = head_config()
    encoder = config.pixel_decoder.encoder
    encoder.num_layers = encoder.pop("schedule")["layers"]
    config.pixel_decoder.type = "mmdet.MSDeformAttnPixelDecoder"
    around_stock = PanopticHead(**config).eval()
    around_stock.load_state_dict(ours.state_dict())
    maps = backbone_maps(1)
    with torch.no_grad():
        torch.testing.assert_close(
            around_stock.decode(maps).masks(), ours.eval().decode(maps).masks(), atol=1e-4, rtol=0
        )


def test_an_assigner_without_costs_is_refused():
    with pytest.raises(InputError, match=r"train_cfg.assigner MaxIoUAssigner has no match_costs"):
        config = head_config()
        assigner = dict(type="mmdet.MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5)
        config.train_cfg.assigner = assigner
        PanopticHead(**config)
