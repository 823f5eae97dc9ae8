"""Attention against mmcv's module, and mask logits against their definition."""

import pytest
import torch
from mmcv.cnn.bricks.transformer import MultiheadAttention

from mmproscale.models.layers.attention import Attention, mask_logits

B, Q, N, C, HEADS = 2, 5, 12, 16, 4


@pytest.mark.parametrize("masked", [True, False])
def test_attention_and_its_gradients_equal_mmcvs(masked):
    ours = Attention(C, HEADS, batch_first=True)
    stock = MultiheadAttention(C, HEADS, batch_first=True)
    stock.load_state_dict(ours.state_dict())
    inputs = [torch.randn(B, n, C, requires_grad=True) for n in (Q, N, N)]
    pos = torch.randn(1, Q, C), torch.randn(1, N, C)
    attn_mask = (torch.rand(B, 1, Q, N) > 0.5).index_fill(3, torch.tensor([0]), True)
    stock_mask = ~attn_mask.expand(B, HEADS, Q, N).flatten(0, 1)
    out = ours(*inputs, *pos, attn_mask=attn_mask if masked else None)
    expected = stock(
        *inputs,
        query_pos=pos[0].expand(B, -1, -1),
        key_pos=pos[1].expand(B, -1, -1),
        attn_mask=stock_mask if masked else None,
    )
    torch.testing.assert_close(out, expected)
    probe = torch.randn_like(out)
    gradients = torch.autograd.grad(out, [*inputs, *ours.parameters()], probe)
    stock_gradients = torch.autograd.grad(expected, [*inputs, *stock.parameters()], probe)
    for mine, theirs in zip(gradients, stock_gradients, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_dropout_is_only_for_training():
    attention = Attention(C, HEADS, attn_drop=0.5, proj_drop=0.5, batch_first=True)
    x = torch.randn(B, Q, C)
    assert not torch.equal(attention(x, x, x), attention(x, x, x))
    attention.eval()
    assert torch.equal(attention(x, x, x), attention(x, x, x))


@pytest.mark.parametrize("with_bias", [False, True])
def test_mask_logits_are_embeddings_times_features_plus_bias(with_bias):
    embedding, features = torch.randn(B, Q, C), torch.randn(B, C, 3, 4)
    bias = torch.randn(B, Q, 1) if with_bias else None
    expected = torch.einsum("bqc,bchw->bqhw", embedding, features).flatten(2)
    found = mask_logits(embedding, features, bias)
    torch.testing.assert_close(found, expected + bias if with_bias else expected)
