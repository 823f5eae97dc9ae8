"""Our decode head against mmseg's own, on whole images and on crops; labels; weights by name."""

import copy

import pytest
import torch
import torch.nn.functional as F
from helpers.heads import SIZE, backbone_maps, same_points_for_all
from helpers.semantic import (
    CLASSES,
    build_ours,
    build_stock,
    decode_head_config,
    segmentor,
    semantic_sample,
    semantic_samples,
)

from mmproscale.errors import InputError
from mmproscale.models.criterion import QueryPredictions
from mmproscale.models.heads import MaskDecodeHead

NAMES = ("car", "person", "road", "sky", "tree", "sign")
METAS = [dict(img_shape=(SIZE, SIZE), pad_shape=(SIZE, SIZE))] * 2


@pytest.fixture
def fixed_points(monkeypatch):
    monkeypatch.setattr(torch, "rand", same_points_for_all())


def losses_and_gradients(head, maps, samples):
    losses = head.loss(maps, copy.deepcopy(samples), {})
    head.zero_grad()
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in head.named_parameters()}


@pytest.mark.parametrize(
    "classes", [[(0, 2, 5), (1,)], [(), (3, 4)], [(), ()]], ids=["both", "one image void", "void"]
)
def test_losses_and_gradients_are_mmsegs(fixed_points, classes):
    ours = build_ours()
    stock = build_stock(ours)
    maps, samples = backbone_maps(), semantic_samples(classes)
    losses, gradients = losses_and_gradients(ours, maps, samples)
    expected_losses, expected_gradients = losses_and_gradients(stock, maps, samples)
    assert losses.keys() == expected_losses.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(
            loss, expected_losses[name].squeeze(), atol=1e-5, rtol=1e-5, msg=name
        )
    for name, gradient in gradients.items():
        expected = expected_gradients[name]
        scale = expected.abs().max().clamp_min(1e-3)
        assert (gradient - expected).abs().max() <= 1e-4 * scale, name


@torch.no_grad()
@pytest.mark.parametrize("padded", [(SIZE, SIZE), (50, 90)])
def test_scores_are_mmsegs(padded):
    ours = build_ours().eval()
    torch.nn.init.normal_(ours.pixel_decoder.mask_feature.bias)
    stock = build_stock(ours).eval()
    maps, metas = backbone_maps(), [dict(img_shape=(40, 40), pad_shape=padded)] * 2
    scores = ours.predict(maps, metas, dict(mode="whole"))
    assert scores.shape == (2, CLASSES, *padded)
    torch.testing.assert_close(scores, stock.predict(maps, metas, {}), atol=2e-5, rtol=0)


def test_weights_have_mmsegs_names():
    ours = build_ours()
    assert ours.state_dict().keys() == build_stock(ours).state_dict().keys()


def test_inference_projects_no_pixel_and_makes_one_set_of_masks(monkeypatch):
    head, maps = build_ours(), backbone_maps()
    projected, made, masks = [], [], QueryPredictions.masks
    head.pixel_decoder.mask_feature.register_forward_hook(lambda *_: projected.append(1))
    monkeypatch.setattr(
        QueryPredictions, "masks", lambda self, layer=-1: made.append(layer) or masks(self, layer)
    )
    with torch.no_grad():
        head.predict(maps, METAS, {})
    assert (projected, made) == ([], [-1])
    head.loss(maps, semantic_samples([(0,), (1,)]))
    assert (projected, made) == ([1], [-1])


def plain_scores(model, images: torch.Tensor) -> torch.Tensor:
    """Return semantic scores by Mask2Former's definition, from projected pixels and whole masks."""
    predictions = model.decode_head.decode(model.backbone(images), project_queries=False)
    classes = predictions.class_logits[-1].softmax(-1)[..., :-1]
    masks = torch.einsum(
        "bqc,bchw->bqhw", predictions.mask_embeddings[-1], predictions.mask_features
    )
    masks = F.interpolate(masks, images.shape[-2:], mode="bilinear", align_corners=False)
    return torch.einsum("bqc,bqhw->bchw", classes, masks.sigmoid())


def predicted(model, images: torch.Tensor) -> torch.Tensor:
    """Scores from the model's own entry, of data samples as mmseg's preprocessor leaves them."""
    size = tuple(images.shape[-2:])
    samples = [semantic_sample([0], SIZE) for _ in images]
    for sample in samples:
        sample.set_metainfo(dict(img_shape=size, pad_shape=size, ori_shape=size))
    return torch.stack([s.seg_logits.data for s in model.predict(images, samples)])


@torch.no_grad()
def test_slide_and_whole_agree_on_an_image_of_one_crops_size():
    head, images = build_ours().eval(), torch.randn(2, 3, SIZE, SIZE)
    whole = segmentor(head)
    slide = segmentor(head, "slide", crop_size=(SIZE, SIZE), stride=(40, 40))
    slide.backbone = whole.backbone
    expected = predicted(whole, images)
    assert torch.equal(predicted(slide, images), expected)
    torch.testing.assert_close(expected, plain_scores(whole, images), atol=2e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("stride", [SIZE, 48])
def test_an_image_three_crops_wide_is_the_mean_of_its_crops(stride):
    width = 2 * stride + SIZE
    images = torch.randn(2, 3, SIZE, width)
    model = segmentor(build_ours().eval(), "slide", crop_size=(SIZE, SIZE), stride=(stride, stride))
    expected, seen = torch.zeros(2, CLASSES, SIZE, width), torch.zeros(width)
    for left in (0, stride, 2 * stride):
        crop = slice(left, left + SIZE)
        expected[..., crop] += plain_scores(model, images[..., crop])
        seen[crop] += 1
    torch.testing.assert_close(predicted(model, images), expected / seen, atol=2e-5, rtol=0)
    # What brings ours here: mmseg's own head makes masks of the whole image's size from each crop.
    model.decode_head = build_stock(model.decode_head).eval()
    with pytest.raises(RuntimeError, match="size"):
        predicted(model, images)


def test_what_is_ignored_is_no_target(fixed_points):
    head, maps = build_ours(), backbone_maps(1)
    sample = semantic_sample([0, 3])
    (targets,) = head._targets([sample])
    assert targets.labels.tolist() == [0, 3]
    labels = sample.gt_sem_seg.data
    assert torch.equal(targets.masks, torch.cat([labels == 0, labels == 3]))
    other = build_ours(ignore_index=9)
    other.load_state_dict(head.state_dict())
    renamed = copy.deepcopy(sample)
    renamed.gt_sem_seg.data[renamed.gt_sem_seg.data == 255] = 9
    losses, expected = other.loss(maps, [renamed]), head.loss(maps, [sample])
    assert all(torch.equal(loss, expected[name]) for name, loss in losses.items())


@pytest.mark.parametrize("label", [CLASSES, 254, -1])
def test_a_label_that_is_no_class_is_refused_with_its_map(label):
    sample = semantic_sample([0, label])
    with pytest.raises(InputError, match=rf"maps/a.png: label {label} is neither one of"):
        build_ours().loss(backbone_maps(1), [sample], {})


def test_a_sample_without_a_map_is_refused():
    sample = semantic_sample([0])
    del sample.gt_sem_seg
    with pytest.raises(InputError, match=r"a\.jpg has no semantic map: load annotations"):
        build_ours().loss(backbone_maps(1), [sample], {})


def test_without_train_cfg_there_are_scores_and_no_losses():
    config = decode_head_config()
    config.train_cfg = None
    head = MaskDecodeHead(**config)
    assert head.predict(backbone_maps(), METAS, {}).shape == (2, CLASSES, SIZE, SIZE)
    with pytest.raises(InputError, match="no train_cfg"):
        head.loss(backbone_maps(), semantic_samples([(0,), (1,)]), {})


def test_classes_are_weighed_by_name(fixed_points):
    named = build_ours(class_weight=dict(car=3.0, tree=0))
    listed = build_ours()
    listed.load_state_dict(named.state_dict())
    weights = [3.0, 2.0, 1.0, 0.5, 0.0, 1.0, 0.1]  # what has no name keeps what loss_cls says
    listed.class_weight = listed.loss_cls.class_weight = weights
    listed.criterion = listed._build_criterion()
    maps, samples = backbone_maps(), semantic_samples([(0, 4), (1,)])
    with pytest.raises(InputError, match="ClassNamesHook"):
        named.loss(maps, samples, {})
    named.name_classes(NAMES)
    losses, expected = named.loss(maps, samples, {}), listed.loss(maps, samples, {})
    assert all(torch.equal(loss, expected[name]) for name, loss in losses.items())
    named.name_classes(NAMES)  # as each run of a loop does
    assert named.class_weight == weights
