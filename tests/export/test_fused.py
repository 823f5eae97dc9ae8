"""Fusion and preprocessing inside a graph give what the package gives around it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.exported_models import photo, small_predictor
from mmdet.models import DetDataPreprocessor
from mmdet.models.dense_heads import DETRHead

from mmproscale.export.export_run import frame_of_photo
from mmproscale.export.fused import (
    BoxFusion,
    InstanceFusion,
    PanopticFusion,
    Preprocessing,
    SemanticFusion,
)
from mmproscale.inference.image_sources import InputImage
from mmproscale.models.fusion.image_frame import ImageFrame
from mmproscale.models.fusion.instance import instances
from mmproscale.models.fusion.panoptic import panoptic_map
from mmproscale.models.fusion.semantic import semantic_map

FRAMES = [
    ImageFrame((64, 96), (64, 96), (64, 96)),
    ImageFrame((64, 96), (60, 90), (75, 113)),
]
THINGS = 3


def logits(seed, sharpness=4.0):
    torch.manual_seed(seed)
    masks = torch.randn(2, 12, 16, 24) * sharpness + torch.linspace(-8, 8, 12)[:, None, None]
    return torch.randn(2, 12, 6) * sharpness, masks


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("options", [
    {"iou_thr": 0.05}, {"object_mask_thr": 0.3, "iou_thr": 0.1}, {"object_mask_thr": 0.99},
    {"object_mask_thr": 0.0, "iou_thr": 0.0, "filter_low_score": True},
])  # fmt: skip
def test_panoptic_maps_are_equal(frame, options):
    several = set()
    for seed in range(5):
        classes, masks = logits(seed)
        fused = PanopticFusion(options, THINGS, frame)(classes, masks, size=(1, 1))
        for image in range(2):
            expected = panoptic_map(classes[image], masks[image], frame, THINGS, **options)
            values, segment_values, scores = (part[image] for part in fused)
            assert values.dtype == torch.int32
            assert (values == expected.values).float().mean() >= 0.999
            kept = scores > options.get("object_mask_thr", 0.8)
            kept &= classes[image].argmax(-1) != 5
            assert segment_values[kept].tolist() == expected.segment_values.tolist()
            assert (segment_values[~kept] == 5).all()
            several |= set(segment_values.tolist())
    assert options.get("object_mask_thr") == 0.99 or len(several) > 4


@pytest.mark.parametrize("frame", FRAMES)
def test_semantic_maps_are_equal(frame):
    classes, masks = logits(0)
    (labels,) = SemanticFusion({}, 0, frame)(classes, masks, size=(1, 1))
    expected = torch.stack([semantic_map(classes[i], masks[i], frame) for i in range(2)])
    assert (labels == expected).float().mean() > 0.999 and len(labels.unique()) > 3


@pytest.mark.parametrize("frame", FRAMES)
def test_instances_are_equal(frame):
    classes, masks = logits(0)
    boxes, scores, labels, binary = InstanceFusion({"max_per_image": 20}, THINGS, frame)(
        classes, masks, size=(1, 1)
    )
    for image in range(2):
        expected = instances(classes[image], masks[image], frame, THINGS, 20)
        order, kept = expected.scores.argsort(descending=True), scores[image] > 0
        ours = scores[image][kept].argsort(descending=True)
        assert kept.sum() == len(order) > 3
        torch.testing.assert_close(scores[image][kept][ours], expected.scores[order])
        assert (labels[image][kept][ours] == expected.labels[order]).all()
        assert torch.equal(boxes[image][kept][ours], expected.bboxes[order])
        assert torch.equal(binary[image][kept][ours], expected.masks[order])


@pytest.mark.parametrize("sigmoid", [True, False])
def test_boxes_are_those_of_mmdets_head(sigmoid):
    torch.manual_seed(0)
    classes, boxes = torch.randn(2, 12, 5 + (not sigmoid)), torch.rand(2, 12, 4)
    frame = ImageFrame((80, 60), (80, 60), (120, 90))
    found = BoxFusion({"max_per_img": 7}, 0, frame, sigmoid=sigmoid)(classes, boxes, size=(1, 1))
    head = SimpleNamespace(
        test_cfg={"max_per_img": 7}, num_classes=5, loss_cls=SimpleNamespace(use_sigmoid=sigmoid)
    )
    meta = dict(img_shape=(80, 60), scale_factor=(60 / 90, 80 / 120))
    for image in range(2):
        expected = DETRHead._predict_by_feat_single(head, classes[image], boxes[image], meta)
        for name, part in zip(("bboxes", "scores", "labels"), found, strict=True):
            wanted = expected[name].to(part.dtype)
            torch.testing.assert_close(part[image], wanted, atol=1e-3, rtol=1e-4)


def test_preprocessing_is_that_of_the_pipeline(tmp_path):
    predictor = small_predictor("M2F", tmp_path)
    pixels = photo(141, 190)
    frame = frame_of_photo(predictor, (141, 190))
    assert frame.output != frame.image != frame.padded
    item = predictor.prepare(InputImage("photo", pixels=np.ascontiguousarray(pixels[..., ::-1])))
    batch = {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
    expected = predictor.model.data_preprocessor(batch, False)["inputs"]
    found = Preprocessing(predictor.model.data_preprocessor, frame)(torch.from_numpy(pixels)[None])
    assert found.shape == expected.shape
    levels = (found - expected).abs() * predictor.model.data_preprocessor.std[None]
    assert levels.max() < 1.01, "one of 255 levels"


def test_a_network_that_reads_bgr_gets_bgr():
    preprocessor = DetDataPreprocessor(mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=False)
    photos = torch.arange(48, dtype=torch.uint8).view(1, 4, 4, 3)
    frame = ImageFrame((4, 4), (4, 4), (4, 4))
    found = Preprocessing(preprocessor, frame)(photos)
    assert torch.equal(found[0, 0], photos[0, ..., 2].float())
