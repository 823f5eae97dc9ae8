"""Masked attention against mmcv's module and Mask2Former's rule for masks."""

import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import MultiheadAttention

from mmproscale.models.layers.attention import Attention
from mmproscale.models.query_decoders.masked_attention import attention_mask

B, Q, N, C, HEADS = 2, 5, 12, 16, 4


@pytest.mark.parametrize("masked", [True, False])
def test_is_mmcvs_module(masked):
    ours = Attention(C, HEADS, batch_first=True)
    stock = MultiheadAttention(C, HEADS, batch_first=True)
    stock.load_state_dict(ours.state_dict())
    inputs = [torch.randn(B, n, C, requires_grad=True) for n in (Q, N, N)]
    pos = torch.randn(1, Q, C), torch.randn(1, N, C)
    reads = (torch.rand(B, 1, Q, N) > 0.5).index_fill(3, torch.tensor([0]), True)
    stocks_mask = ~reads.expand(B, HEADS, Q, N).flatten(0, 1)
    out = ours(*inputs, *pos, attn_mask=reads if masked else None)
    expected = stock(
        *inputs,
        query_pos=pos[0].expand(B, -1, -1),
        key_pos=pos[1].expand(B, -1, -1),
        attn_mask=stocks_mask if masked else None,
    )
    torch.testing.assert_close(out, expected)
    probe = torch.randn_like(out)
    gradients = torch.autograd.grad(out, [*inputs, *ours.parameters()], probe)
    stocks = torch.autograd.grad(expected, [*inputs, *stock.parameters()], probe)
    for mine, theirs in zip(gradients, stocks, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_dropout_is_for_training_only():
    attention = Attention(C, HEADS, attn_drop=0.5, proj_drop=0.5, batch_first=True)
    x = torch.randn(B, Q, C)
    assert not torch.equal(attention(x, x, x), attention(x, x, x))
    attention.eval()
    assert torch.equal(attention(x, x, x), attention(x, x, x))


def test_reads_where_the_resized_mask_is_foreground():
    embedding, features = torch.randn(B, Q, 8), torch.randn(B, 8, 20, 28)
    masks = torch.einsum("bqc,bchw->bqhw", embedding, features)
    for size in ((5, 7), (10, 14), (3, 5)):
        resized = F.interpolate(masks, size, mode="bilinear").flatten(2)
        mine = attention_mask(embedding, F.interpolate(features, size, mode="bilinear"))
        assert mine.shape == (B, 1, Q, size[0] * size[1])
        differs = mine[:, 0] != (resized.sigmoid() >= 0.5)
        assert resized[differs].abs().max(initial=0) < 1e-4 if differs.any() else True


def test_a_query_without_a_mask_reads_everything():
    embedding, features = -torch.ones(1, 2, 1), torch.ones(1, 1, 2, 2)
    embedding[0, 1] = 1
    features[0, 0, 0, 0] = -1
    mask = attention_mask(embedding, features)[0, 0]
    assert mask.tolist() == [[True, False, False, False], [False, True, True, True]]
    features[:] = 1
    assert attention_mask(embedding, features)[0, 0].all()
