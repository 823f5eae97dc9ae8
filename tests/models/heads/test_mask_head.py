"""Common part of the mask heads: weights, gradients, masks and projections, errors."""

import copy

import pytest
import torch
from helpers.gpu_waits import waits_of
from helpers.heads import backbone_maps, build_ours, build_stock, data_samples, head_config

from mmproscale.errors import InputError
from mmproscale.models.criterion import QueryPredictions
from mmproscale.models.heads import PanopticHead
from mmproscale.models.query_decoders import masked_attention


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
    losses = head.loss(backbone_maps(), copy.deepcopy(samples))
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


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
    logits = []
    mask_logits = masked_attention.mask_logits

    def spy(*args):
        logits.append(mask_logits(*args))
        return logits[-1]

    monkeypatch.setattr(masked_attention, "mask_logits", spy)
    projected, pixels = head.decode(maps), head.decode(maps, project_queries=False)
    assert projected.mask_bias is not None and pixels.mask_bias is None
    assert projected.mask_features.shape == pixels.mask_features.shape
    for layer in range(len(pixels.class_logits)):
        torch.testing.assert_close(
            projected.masks(layer), pixels.masks(layer), atol=1e-4, rtol=0, msg=str(layer)
        )
    half = len(logits) // 2
    for one, other in zip(logits[:half], logits[half:], strict=True):
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


ON_HOST = ("nonzero", "tolist", "__bool__", "numpy")  # of tensors that are on the host already


@pytest.mark.parametrize("images", [2, 4])
def test_training_waits_for_the_gpu_twice_however_many_images(images):
    head, maps = build_ours(), backbone_maps(images)

    def step():
        sum(head.loss(maps, data_samples([2] * images)).values()).backward()

    waits = {name: count for name, count in waits_of(step).items() if name not in ON_HOST}
    # Each image's masks come from the host. Targets and matching need one answer each.
    assert waits == {"tensor": images, "cpu": 2}


@torch.no_grad()
def test_inference_never_waits_for_the_gpu():
    head, maps, samples = build_ours().eval(), backbone_maps(), data_samples([0, 0])
    assert waits_of(lambda: head.predict(maps, samples)) == {}


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


@pytest.mark.parametrize("decoder_layers", [0, 1, 3])
def test_projections_that_no_layer_reads_are_not_built(decoder_layers):
    config = head_config()
    config.enforce_decoder_input_project = True
    config.transformer_decoder.num_layers = decoder_layers
    head = PanopticHead(**config)
    assert len(head.decoder_input_projs) == decoder_layers
    sum(head.loss(backbone_maps(), data_samples([2, 3])).values()).backward()
    unused = {n for n, p in head.named_parameters() if p.requires_grad and p.grad is None}
    assert not unused


def test_an_assigner_without_costs_is_refused():
    with pytest.raises(InputError, match=r"train_cfg.assigner MaxIoUAssigner has no match_costs"):
        config = head_config()
        assigner = dict(type="mmdet.MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5)
        config.train_cfg.assigner = assigner
        PanopticHead(**config)


def test_class_weights_by_name_replace_those_of_the_loss():
    head = PanopticHead(**head_config(), class_weight=dict(sky=7.0))
    names = ["car", "bus", "dog", "cat", "tree", "sky", "road", "wall"]
    head.name_classes(names)
    assert head.criterion.class_weight == [1.0, 2.0, 1.0, 0.5, 1.0, 7.0, 1.5, 1.0, 0.1]


def test_without_train_cfg_there_are_no_losses():
    config = head_config()
    config.train_cfg = None
    with pytest.raises(InputError, match="no train_cfg"):
        PanopticHead(**config).loss(backbone_maps(), data_samples([3, 2]))


def test_numbers_of_levels_that_differ_are_an_error():
    config = head_config()
    config.num_transformer_feat_level = 2
    with pytest.raises(InputError, match=r"num_transformer_feat_level=2, .*must be the same"):
        PanopticHead(**config)
