"""Views of an image are aligned where it lies, matched query by query, and averaged."""

import math

import pytest
import torch

from mmproscale.errors import InputError
from mmproscale.models.fusion.view_merging import ViewPlace, align_masks, match_queries, merge_views

# An image of 70x90 pixels in a batch of 96x128, masks of stride 4: the last cells are half filled.
PLACE, SIZE = ViewPlace((96, 128), (70, 90)), (24, 32)
CELLS = (18, 23)  # of the image
MIRRORED = [(), (0,), (1,), (0, 1)]


def random_view(seed=0, queries=5, classes=3):
    g = torch.Generator().manual_seed(seed)
    class_logits = 3 * torch.randn(queries, classes + 1, generator=g)
    return class_logits, 4 * torch.randn(queries, *SIZE, generator=g)


def ramp(place, size, axis):
    """Masks (1, h, w) that grow evenly along the image, which bilinear resampling keeps; noise in
    its padding."""
    steps = (torch.arange(size[axis]) + 0.5) * place.padded[axis] / size[axis] / place.image[axis]
    steps = 1 - steps if axis in place.mirrored else steps
    masks = (steps[:, None] if axis == 0 else steps[None]).repeat_interleave(
        size[1 - axis], dim=1 - axis
    )[None]
    height, width = (math.ceil(place.cells(masks, a)) for a in (0, 1))
    masks[:, height:] = 1e6
    masks[:, :, width:] = 1e6
    return masks


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("mirrored", MIRRORED)
@pytest.mark.parametrize(
    ("padded", "image", "size"),
    [
        ((96, 128), (70, 90), (24, 32)),
        ((64, 64), (49, 63), (16, 16)),
        ((160, 192), (140, 180), (40, 48)),
    ],
)
def test_a_view_is_aligned_to_a_fraction_of_a_cell(padded, image, size, mirrored, axis):
    view = ViewPlace(padded, image, mirrored)
    aligned = align_masks(ramp(view, size, axis), view, PLACE, SIZE)
    assert aligned.shape == (1, *SIZE)
    inner = slice(1, CELLS[0] - 1), slice(1, CELLS[1] - 1)  # at the edge the view's may end earlier
    expected = ramp(PLACE, SIZE, axis)[0]
    torch.testing.assert_close(aligned[0][inner], expected[inner], atol=1e-4, rtol=0)


@pytest.mark.parametrize("mirrored", MIRRORED[1:])
def test_padding_of_a_view_is_never_read(mirrored):
    (classes, masks), view = random_view(), ViewPlace((96, 128), (70, 90), mirrored)
    spoilt = masks.clone()
    spoilt[:, CELLS[0] :], spoilt[:, :, CELLS[1] :] = 1e4, -1e4
    first = random_view(1)
    expected = merge_views([first, (classes, masks)], [PLACE, view])
    found = merge_views([first, (classes, spoilt)], [PLACE, view])
    assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])


def test_a_single_view_is_returned_as_it_is():
    classes, masks = random_view()
    found = merge_views([(classes, masks)], [PLACE])
    assert found[0] is classes and found[1] is masks


def test_equal_views_are_as_one():
    classes, masks = random_view()
    masks[0, 0, :4] = torch.tensor([-90.0, 90.0, 30.0, -30.0])  # a sigmoid rounds these to 0 and 1
    found = merge_views([(classes, masks)] * 3, [PLACE] * 3)
    torch.testing.assert_close(found[0].softmax(-1), classes.softmax(-1))
    torch.testing.assert_close(found[1], masks, atol=1e-4, rtol=1e-5)


def test_the_order_of_queries_in_a_view_means_nothing():
    first, (classes, masks) = random_view(), random_view(1)
    expected = merge_views([first, (classes, masks)], [PLACE] * 2)
    order = torch.tensor([3, 0, 4, 1, 2])
    found = merge_views([first, (classes[order], masks[order])], [PLACE] * 2)
    assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])


def test_probabilities_are_averaged_of_classes_and_of_pixels():
    shares = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.3, 0.7]])
    pixels = torch.tensor([0.9, 0.2]), torch.tensor([0.5, 0.4])
    views = [
        (share.log(), pixel.logit()[:, None].expand(1, *SIZE))
        for share, pixel in zip(shares, (pixels[0][:1], pixels[1][:1]), strict=True)
    ]
    classes, masks = merge_views(views, [PLACE] * 2)
    torch.testing.assert_close(classes.softmax(-1), torch.tensor([[0.6, 0.4]]))
    torch.testing.assert_close(masks.sigmoid(), torch.full((1, *SIZE), 0.7))


def test_a_mirrored_first_view_is_turned_around():
    place = ViewPlace((96, 128), (96, 128), (1,))
    classes, masks = random_view()
    (_, found) = merge_views([(classes, masks)], [place])
    torch.testing.assert_close(found, masks.flip(-1), atol=1e-4, rtol=0)


def test_a_view_is_matched_with_itself_query_by_query():
    for seed in range(50):
        classes, masks = random_view(seed, queries=20)
        found = match_queries(classes, masks, classes, masks)
        assert found.tolist() == list(range(20)), seed


def test_queries_that_see_nothing_have_no_say():
    """Two find the same thing; the others' masks are equal in another order, and are no objects."""
    sure, nothing = [9.0, -9.0, -9.0], [-9.0, -9.0, 9.0]
    masks = torch.full((3, 2, 2), -9.0)
    masks[0, 0, 0] = masks[1, 0] = masks[2, :, 1] = 9.0
    others = masks[[1, 2, 0]]
    classes = torch.tensor([sure, nothing, nothing])
    other_classes = torch.tensor([nothing, nothing, sure])
    assert match_queries(classes, masks, other_classes, others)[0] == 2
    # The thing's mask is another one's now: what sees the thing counts, overlapping in one cell.
    others[2] = masks[1]
    assert match_queries(classes, masks, other_classes, others)[0] == 2


def test_empty_masks_match():
    classes, masks = torch.zeros(4, 3), torch.full((4, 2, 2), -1000.0)
    assert sorted(match_queries(classes, masks, classes, masks).tolist()) == [0, 1, 2, 3]


def test_half_precision_is_merged_in_single():
    classes, masks = random_view()
    found = merge_views([(classes.half(), masks.half())] * 2, [PLACE] * 2)
    assert found[0].dtype == found[1].dtype == torch.float32


def test_places_are_read_from_data_samples():
    metainfo = dict(batch_input_shape=(96, 128), img_shape=(70, 90, 3))
    directions = dict(horizontal=(1,), vertical=(0,), diagonal=(0, 1))
    for direction, mirrored in directions.items():
        place = ViewPlace.from_metainfo(metainfo | dict(flip=True, flip_direction=direction))
        assert place == ViewPlace((96, 128), (70, 90), mirrored)
    assert ViewPlace.from_metainfo(metainfo | dict(flip=False, flip_direction=None)) == PLACE
    with pytest.raises(InputError, match="'flip_direction' to the meta_keys"):
        ViewPlace.from_metainfo(metainfo)
