"""Sizes of an image and its results, and masks resized to them."""

import pytest
import torch
import torch.nn.functional as F

from mmproscale.models.fusion import image_frame
from mmproscale.models.fusion.image_frame import ImageFrame

META = dict(batch_input_shape=(16, 24), img_shape=(12, 20, 3), ori_shape=(30, 50))


def test_results_have_the_original_size_or_the_images_size_in_the_batch():
    assert ImageFrame.from_metainfo(META, True) == ImageFrame((16, 24), (12, 20), (30, 50))
    assert ImageFrame.from_metainfo(META, False) == ImageFrame((16, 24), (12, 20), (12, 20))


def test_masks_are_resized_to_the_batch_and_the_image_to_the_result():
    masks = torch.randn(3, 4, 6)
    in_batch = F.interpolate(masks[None], (16, 24), mode="bilinear")[0]
    expected = F.interpolate(in_batch[None, :, :12, :20], (30, 50), mode="bilinear")[0]
    frame = ImageFrame.from_metainfo(META, True)
    assert torch.equal(frame.resize(masks), expected)
    assert frame.resize(masks.half()).dtype == torch.float32


@pytest.mark.parametrize("pixels", [1, 2 * 30 * 50, 10**6])
def test_chunks_together_are_the_resized_masks(monkeypatch, pixels):
    monkeypatch.setattr(image_frame, "PIXELS_AT_ONCE", pixels)
    masks, frame = torch.randn(5, 4, 6), ImageFrame.from_metainfo(META, True)
    parts, chunks = zip(*frame.resized_chunks(masks), strict=True)
    assert [len(chunk) for chunk in chunks] == {1: [1] * 5, 3000: [2, 2, 1]}.get(pixels, [5])
    assert torch.equal(torch.cat([masks[part] for part in parts]), masks)
    assert torch.equal(torch.cat(chunks), frame.resize(masks))


def test_chunks_may_be_overwritten_also_without_resizing():
    masks, frame = torch.randn(2, 8, 12), ImageFrame((8, 12), (8, 12), (8, 12))
    before = masks.clone()
    for _, chunk in frame.resized_chunks(masks):
        chunk.zero_()
    assert torch.equal(masks, before)
