"""Fusion head against mmdet's own: results, classes without things, precision and errors."""

import pytest
import torch
import torch.nn.functional as F
from helpers.fusion import FRAME, random_case
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.models.seg_heads.panoptic_fusion_heads import MaskFormerFusionHead
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict

from mmproscale.models.fusion import UniversalFusionHead, image_frame
from mmproscale.models.fusion.image_frame import ImageFrame


def metainfo(frame):
    return dict(batch_input_shape=frame.padded, img_shape=frame.image, ori_shape=frame.output)


def both_heads(things, stuff, **config):
    return [
        kind(things, stuff, test_cfg=ConfigDict(config))
        for kind in (UniversalFusionHead, MaskFormerFusionHead)
    ]


def fuse(head, classes, masks, frame, rescale=True):
    sample = DetDataSample(metainfo=metainfo(frame))
    return head.predict(classes[None], masks[None], [sample], rescale=rescale)[0]


def at_batch_size(masks, frame):
    return F.interpolate(masks[None], frame.padded, mode="bilinear", align_corners=False)[0]


@pytest.mark.parametrize("start", range(0, 300, 50))
def test_panoptic_and_instance_results_are_mmdets(start, monkeypatch):
    monkeypatch.setattr(image_frame, "PIXELS_AT_ONCE", 1)
    for seed in range(start, start + 50):
        classes, masks, frame, things, stuff = random_case(seed)
        pairs = classes.shape[0] * (things + stuff)
        config = dict(
            instance_on=True,
            object_mask_thr=0.3,
            iou_thr=0.5,
            filter_low_score=seed % 2 == 0,
            max_per_image=min(10, pairs),  # mmdet asks for no more than there are
        )
        ours, stock = both_heads(things, stuff, **config)
        rescale = seed % 3 != 0
        one = fuse(ours, classes, masks, frame, rescale)
        other = fuse(stock, classes, at_batch_size(masks, frame), frame, rescale)
        assert torch.equal(one["pan_results"].sem_seg, other["pan_results"].sem_seg), seed
        mine, theirs = one["ins_results"], other["ins_results"]
        assert torch.equal(mine.labels, theirs.labels)
        assert torch.equal(mine.masks, theirs.masks)
        assert torch.equal(mine.bboxes, theirs.bboxes)
        torch.testing.assert_close(mine.scores, theirs.scores, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("things", "stuff"), [(1, 0), (0, 1), (0, 3)])
def test_one_class_and_no_things(things, stuff):
    classes = torch.full((4, things + stuff + 1), -9.0)
    classes[:, 0] = 9.0
    masks = torch.full((4, 2, 3), -9.0)
    masks[0, 0] = masks[1, 1] = 9.0
    head = both_heads(things, stuff, instance_on=True, semantic_on=True)[0]
    result = fuse(head, classes, masks, FRAME)
    expected = {INSTANCE_OFFSET, 2 * INSTANCE_OFFSET} if things else {0}
    assert set(result["pan_results"].sem_seg.unique().tolist()) == expected
    assert len(result["ins_results"]) == (4 if things else 0)
    assert result["sem_results"].sem_seg.shape == (1, 8, 12)
    assert not result["sem_results"].sem_seg.any()


@pytest.mark.parametrize("kind", ["mask logits", "class logits"])
def test_nan_is_an_error_that_names_the_image(kind):
    classes, masks = torch.randn(4, 4), torch.randn(4, 2, 3)
    (masks if kind == "mask logits" else classes)[1, 1] = float("nan")
    head = both_heads(2, 1)[0]
    sample = DetDataSample(metainfo=metainfo(FRAME) | dict(img_path="street.jpg"))
    with pytest.raises(FloatingPointError, match=rf"{kind} of street\.jpg are not finite numbers"):
        head.predict(classes[None], masks[None], [sample])


@pytest.mark.parametrize("infinite", [float("inf"), -float("inf")])
def test_infinite_masks_are_an_error_and_a_class_may_be_left_out(infinite):
    classes, masks = torch.randn(4, 4), torch.randn(4, 2, 3)
    head = both_heads(2, 1, instance_on=True, semantic_on=True)[0]
    classes[:, 0] = -float("inf")
    assert not (fuse(head, classes, masks, FRAME)["ins_results"].scores[:4].isnan()).any()
    masks[1, 1, 1] = infinite
    with pytest.raises(FloatingPointError, match="mask logits of an image are not finite"):
        fuse(head, classes, masks, FRAME)
    with pytest.raises(FloatingPointError, match="class logits of an image are not finite"):
        fuse(head, torch.full((4, 4), infinite), masks.nan_to_num(), FRAME)


@pytest.mark.slow
@pytest.mark.parametrize("autocast", [False, True], ids=["", "autocast"])
@pytest.mark.parametrize(
    "precisions", [(torch.float16,) * 2, (torch.bfloat16,) * 2, (torch.bfloat16, torch.float32)]
)
def test_half_precision_gives_the_results_of_its_numbers(precisions, autocast):
    head = both_heads(3, 2, object_mask_thr=0.3, instance_on=True, semantic_on=True)[0]
    frame = ImageFrame((256, 512), (250, 500), (700, 1400))  # masks of more than 65,504 pixels
    generator = torch.Generator().manual_seed(0)
    coarse = 4 * torch.randn(1, 20, 2, 3, generator=generator)
    masks = F.interpolate(coarse, (64, 128), mode="bicubic")[0].to(precisions[1])
    classes = (6 * torch.randn(20, 6, generator=generator)).to(precisions[0])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        half = fuse(head, classes, masks, frame)
    full = fuse(head, classes.float(), masks.float(), frame)
    assert full["ins_results"].masks.flatten(1).sum(1).max() > 65504
    for key in full["ins_results"].keys():  # noqa: SIM118
        mine, theirs = half["ins_results"][key], full["ins_results"][key]
        assert mine.dtype == theirs.dtype and torch.equal(mine, theirs), key
    for kind in ("pan_results", "sem_results"):
        assert torch.equal(half[kind].sem_seg, full[kind].sem_seg), kind


def test_what_is_given_is_left_as_it_was():
    classes, masks = torch.randn(4, 4), torch.randn(4, 8, 12)
    before = classes.clone(), masks.clone()
    head = both_heads(2, 1, object_mask_thr=0.0, instance_on=True, semantic_on=True)[0]
    fuse(head, classes, masks, FRAME)
    assert torch.equal(before[0], classes) and torch.equal(before[1], masks)
