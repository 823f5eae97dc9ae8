"""Fusion against mmdet's own head, against a plain reference, and where both are strange."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.models.seg_heads.panoptic_fusion_heads import MaskFormerFusionHead
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict

from mmproscale.models.fusion import UniversalFusionHead, image_frame
from mmproscale.models.fusion.image_frame import ImageFrame
from mmproscale.models.fusion.instance import instances, mask_boxes
from mmproscale.models.fusion.panoptic import panoptic_map
from mmproscale.models.fusion.semantic import class_scores, semantic_map


@pytest.fixture
def a_mask_at_a_time(monkeypatch):
    monkeypatch.setattr(image_frame, "PIXELS_AT_ONCE", 1)


def random_case(seed):
    """Logits (Q, C + 1) and (Q, h, w), a frame and class counts; some masks are flat."""
    g = torch.Generator().manual_seed(seed)

    def pick(low, high):
        return int(torch.randint(low, high + 1, (), generator=g))

    things, stuff, queries = pick(0, 3), pick(0, 3), pick(1, 12)
    stuff += things + stuff == 0
    h, w = pick(2, 6), pick(2, 6)
    padded = 4 * h, 4 * w
    image = pick(1, padded[0]), pick(1, padded[1])
    frame = ImageFrame(padded, image, (pick(1, 30), pick(1, 30)))
    classes = 4 * torch.randn(queries, things + stuff + 1, generator=g)
    masks = 3 * torch.randn(queries, h, w, generator=g)
    masks[torch.rand(queries, generator=g) < 0.2] = -5.0
    return classes, masks, frame, things, stuff


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
def test_panoptic_and_instance_results_are_mmdets(start, a_mask_at_a_time):
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


def plain_panoptic(classes, masks, frame, num_things, thr, iou_thr, filter_low_score):
    """The definition, pixel by pixel and query by query."""
    void = classes.shape[1] - 1
    probabilities = frame.resize(masks).sigmoid().tolist()
    scores, labels = (t.tolist() for t in classes.softmax(-1).max(-1))
    kept = [q for q in range(len(labels)) if labels[q] != void and scores[q] > thr]
    height, width = frame.output
    owner = {}
    for y in range(height):
        for x in range(width):
            values = [
                float(torch.tensor(scores[q]) * torch.tensor(probabilities[q][y][x])) for q in kept
            ]
            if values:
                owner[y, x] = kept[values.index(max(values))]
    result = torch.full(frame.output, void, dtype=torch.int32)
    number = 0
    for q in kept:
        own = [pixel for pixel, who in owner.items() if who == q]
        mask = sum(p >= 0.5 for row in probabilities[q] for p in row)
        if not own or not mask or len(own) / mask < iou_thr:
            continue
        value = labels[q]
        if labels[q] < num_things:
            number += 1
            value += INSTANCE_OFFSET * number
        for y, x in own:
            if not filter_low_score or probabilities[q][y][x] >= 0.5:
                result[y, x] = value
    return result


@pytest.mark.parametrize("start", range(1000, 2000, 250))
def test_a_thousand_cases_are_the_plain_definition(start):
    for seed in range(start, start + 250):
        classes, masks, frame, things, _ = random_case(seed)
        frame = ImageFrame(frame.padded, frame.image, tuple(min(n, 9) for n in frame.output))
        arguments = (things, 0.3, 0.4, seed % 2 == 0)
        found = panoptic_map(classes, masks, frame, *arguments)
        assert torch.equal(found, plain_panoptic(classes, masks, frame, *arguments)), seed
        check_segments(found, classes.shape[1] - 1, things)


def check_segments(panoptic, void, num_things):
    """Ids are valid: stuff has no number, things are numbered from 1 on, each of one label."""
    values = panoptic.unique()
    labels, numbers = values % INSTANCE_OFFSET, values // INSTANCE_OFFSET
    assert (labels <= void).all()
    is_thing = labels < num_things
    assert (numbers[~is_thing] == 0).all() and (numbers[is_thing] > 0).all()
    assert len(numbers[is_thing].unique()) == int(is_thing.sum())


def test_semantic_is_class_times_mask_probability(a_mask_at_a_time):
    for seed in range(50):
        classes, masks, frame, _, _ = random_case(seed)
        shares = classes.softmax(-1)[:, :-1]
        expected = torch.einsum("qc,qhw->chw", shares, frame.resize(masks).sigmoid())
        scores = class_scores(classes, masks, frame)
        torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(semantic_map(classes, masks, frame), scores.argmax(0))


FRAME = ImageFrame((8, 12), (8, 12), (8, 12))


def test_without_a_sure_query_all_is_void():
    classes = torch.zeros(5, 4)
    panoptic = panoptic_map(classes, torch.randn(5, 2, 3), FRAME, num_things=2)
    assert panoptic.dtype == torch.int32 and panoptic.unique().tolist() == [3]


def test_no_query_at_all():
    classes, masks = torch.zeros(0, 4), torch.zeros(0, 2, 3)
    assert panoptic_map(classes, masks, FRAME, 2).unique().tolist() == [3]
    found = instances(classes, masks, FRAME, 2)
    assert len(found) == 0 and found.masks.shape == (0, 8, 12)
    assert semantic_map(classes, masks, FRAME).unique().tolist() == [0]


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


def test_more_wanted_than_there_are():
    found = instances(torch.randn(3, 3), torch.randn(3, 2, 3), FRAME, 2, max_per_image=100)
    assert len(found) == 6
    assert sorted(found.labels.tolist()) == [0, 0, 0, 1, 1, 1]


def test_boxes_are_of_the_pixels_and_empty_masks_have_none():
    masks = torch.zeros(3, 5, 7, dtype=torch.bool)
    masks[0, 1:3, 2:6] = True
    masks[2, 4, 6] = True
    assert mask_boxes(masks).tolist() == [[2, 1, 6, 3], [0, 0, 0, 0], [6, 4, 7, 5]]


@pytest.mark.parametrize("which", ["mask logits", "class logits"])
def test_numbers_that_are_none_are_an_error_that_names_the_image(which):
    classes, masks = torch.randn(4, 4), torch.randn(4, 2, 3)
    (masks if which == "mask logits" else classes)[1, 1] = float("nan")
    head = both_heads(2, 1)[0]
    sample = DetDataSample(metainfo=metainfo(FRAME) | dict(img_path="street.jpg"))
    with pytest.raises(FloatingPointError, match=rf"{which} of street\.jpg are not finite numbers"):
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


def test_more_queries_than_sixteen_bits_count():
    """At a small size all masks would fit in one piece."""
    queries = 40000
    classes = torch.tensor([[9.0, 0, 0]]).repeat(queries, 1)
    masks = torch.full((queries, 2, 2), -5.0)
    masks[-1] = 5.0
    frame = ImageFrame((8, 8), (8, 8), (8, 8))
    assert panoptic_map(classes, masks, frame, 1).unique().tolist() == [INSTANCE_OFFSET]
    masks[0] = 5.0
    found = panoptic_map(classes, masks, frame, 1, iou_thr=0.0, object_mask_thr=0.0)
    assert found.unique().tolist() == [INSTANCE_OFFSET], "of equals the first wins"


def test_what_is_given_is_left_as_it_was():
    classes, masks = torch.randn(4, 4), torch.randn(4, 8, 12)
    before = classes.clone(), masks.clone()
    head = both_heads(2, 1, object_mask_thr=0.0, instance_on=True, semantic_on=True)[0]
    fuse(head, classes, masks, FRAME)
    assert torch.equal(before[0], classes) and torch.equal(before[1], masks)


def test_only_surviving_masks_are_resized(monkeypatch):
    seen = []
    resize = ImageFrame.resize
    monkeypatch.setattr(
        ImageFrame, "resize", lambda self, masks: seen.append(len(masks)) or resize(self, masks)
    )
    classes = torch.zeros(50, 4)
    classes[:, -1] = 9.0
    classes[7, 0] = classes[9, 1] = 30.0
    panoptic_map(classes, torch.randn(50, 2, 3), FRAME, 2)
    assert sum(seen) == 2
