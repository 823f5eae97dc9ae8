"""Token layouts: order, slices, and the round trip between maps and tokens."""

import torch
from mmdet.models.layers import DeformableDetrTransformerEncoder

from mmproscale.models.layers.token_layout import TokenLayout, concat, to_tokens


def test_tokens_go_back_to_their_maps():
    maps = {s: torch.randn(2, 4, h, w) for s, (h, w) in {16: (3, 5), 8: (7, 9)}.items()}
    layout = TokenLayout.from_maps(maps)
    tokens = concat({s: to_tokens(m) for s, m in maps.items()}, layout.strides)
    assert tokens.shape == (2, 3 * 5 + 7 * 9, 4)
    for stride, part in layout.split(tokens, layout.strides).items():
        assert torch.equal(layout.to_map(part, stride), maps[stride])


def test_the_layout_carries_the_order_and_schedules_only_name_strides():
    low_first = TokenLayout((32, 16, 8), ((1, 2), (2, 4), (4, 8)))
    high_first = TokenLayout((8, 16, 32), ((4, 8), (2, 4), (1, 2)))
    assert low_first.order((16, 32)) == (32, 16)
    assert high_first.order((32, 16)) == (16, 32)
    assert high_first.shapes_of((16, 32)) == ((2, 4), (1, 2))


def test_reference_points_are_pixel_centres_as_x_y():
    layout = TokenLayout((8,), ((2, 4),))
    points = layout.reference_points((8,), (8,), like=torch.zeros(1))[0, :, 0]
    assert torch.allclose(points[0], torch.tensor([0.125, 0.25]))
    assert torch.allclose(points[5], torch.tensor([0.375, 0.75]))


def test_reference_points_with_valid_ratios_are_mmdets():
    shapes = ((4, 8), (2, 4))
    ratios = torch.tensor([[[0.75, 0.5], [0.7, 0.6]], [[1.0, 1.0], [1.0, 1.0]]])
    layout = TokenLayout((8, 16), shapes, valid_ratios=ratios)
    points = layout.reference_points((8, 16), (8, 16), like=torch.zeros(1))
    expected = DeformableDetrTransformerEncoder.get_encoder_reference_points(
        torch.tensor(shapes), ratios, device="cpu"
    )
    torch.testing.assert_close(points, expected)
    some = layout.reference_points((16,), (8,), like=torch.zeros(1))
    torch.testing.assert_close(some, expected[:, 32:, :1])


def test_padding_goes_with_the_levels_and_the_images():
    padding = torch.rand(3, 40) < 0.5
    ratios = torch.rand(3, 2, 2)
    layout = TokenLayout((8, 16), ((4, 8), (2, 4)), padding=padding, valid_ratios=ratios)
    assert torch.equal(layout.padding_of((16,)), padding[:, 32:])
    picked = layout.select_images([2, 0])
    assert torch.equal(picked.padding_of((8, 16)), padding[[2, 0]])
    assert torch.equal(picked.valid_ratios, ratios[[2, 0]])
    plain = TokenLayout((8, 16), ((4, 8), (2, 4)))
    assert plain.padding_of((16,)) is None and plain.select_images([2, 0]) == plain
