"""TRC against eq. 4 written out, and its options."""

import pytest
import torch
import torch.nn.functional as F

from mmproscale.errors import InputError
from mmproscale.models.encoders.token_recalibration import TokenRecalibration


@pytest.mark.parametrize("eps", [0.1, 1.0])
def test_gate_is_equation_4(eps):
    trc = TokenRecalibration(embed_dims=6, eps=eps)
    finest = torch.randn(2, 6, 8, 12)
    gate = trc(finest, (3, 5))
    assert gate.shape == (2, 15, 1)
    resized = F.interpolate(finest, (3, 5), mode="bilinear", align_corners=False)
    for b, y, x in [(0, 0, 0), (1, 2, 4), (0, 1, 3)]:
        phi = resized[b, :, y, x] @ trc.phi.weight[0] + trc.phi.bias[0]
        torch.testing.assert_close(gate[b, y * 5 + x, 0], torch.sigmoid(eps * phi))


def test_the_releases_token_layout_mixes_channels_and_space():
    paper, release = (TokenRecalibration(8, token_layout=t) for t in ("paper", "release"))
    release.load_state_dict(paper.state_dict())
    finest = torch.randn(1, 8, 4, 6)
    assert (paper(finest, (2, 3)) - release(finest, (2, 3))).abs().max() > 1e-3


def test_unknown_token_layout_is_refused():
    with pytest.raises(InputError, match="token_layout='official'"):
        TokenRecalibration(token_layout="official")
