"""Positions from one column and one row, against mmdet's of every place."""

import pytest
import torch
from mmdet.models.layers import SinePositionalEncoding

from mmproscale.models.layers.sine_position import sine_position
from mmproscale.models.layers.token_layout import to_tokens


@pytest.mark.parametrize("shape", [(5, 7), (1, 4), (6, 1), (34, 25)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("options", [dict(normalize=True), dict(), dict(temperature=20)], ids=str)
def test_is_to_the_bit_what_mmdet_says_of_all_places(options, dtype, shape):
    encoding = SinePositionalEncoding(num_feats=8, **options)
    feature_map = torch.zeros(2, 3, *shape, dtype=dtype)
    everywhere = encoding(torch.zeros(1, *shape, dtype=torch.bool))
    position = sine_position(encoding, feature_map)
    assert position.dtype == dtype
    assert torch.equal(position, to_tokens(everywhere).to(dtype))
