"""PEM's decoder layer: its masks, its norms, and errors."""

import pytest
import torch

from mmproscale.errors import InputError
from mmproscale.models.query_decoders import PrototypeAttentionLayer

B, Q, C, HEADS, SHAPE = 2, 5, 16, 4, (6, 7)
N = SHAPE[0] * SHAPE[1]


def layer(**arguments):
    attention = dict(embed_dims=C, num_heads=HEADS, batch_first=True, dropout=0.0)
    ffn = dict(embed_dims=C, feedforward_channels=2 * C)
    return PrototypeAttentionLayer(
        self_attn_cfg=attention,
        cross_attn_cfg=attention | arguments.pop("cross", {}),
        ffn_cfg=ffn,
        **arguments,
    ).eval()


def inputs():
    return [torch.randn(*size, C) for size in ((B, Q), (1, Q), (B, N), (1, N))]


@torch.no_grad()
def test_a_layer_reads_where_the_masks_are():
    made, given = layer(), inputs()
    features, embedding = torch.randn(B, 8, *SHAPE), torch.randn(B, Q, 8)
    seen = []
    made.cross_attn.register_forward_hook(lambda _, args, out: seen.append(args[5]))
    made.read(*given, features, embedding, None)
    assert torch.equal(seen[0][:, 0], embedding @ features.flatten(2) >= 0)
    unmasked = layer(cross=dict(prototypes="any"))
    assert made.reads_masks and not unmasked.reads_masks
    unmasked.cross_attn.register_forward_hook(lambda _, args, out: seen.append(args[5]))
    unmasked.read(*given, features, embedding, None)
    assert seen[1] is None


@torch.no_grad()
def test_norms_are_before_or_after_self_attention_and_feed_forward():
    given = inputs()
    results = {}
    for order in ("post", "pre"):
        torch.manual_seed(0)
        made = layer(norm_order=order)
        results[order] = made(*given, SHAPE, None)
    normed = results["post"]
    torch.testing.assert_close(normed.mean(-1), torch.zeros(B, Q), rtol=0, atol=1e-5)
    assert results["pre"].mean(-1).abs().max() > 0.01


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (dict(cross=dict(dropout=0.1)), "dropout: prototype attention has no dropout"),
        (dict(norm_order="both"), "norm_order='both' must be"),
    ],
)
def test_invalid_arguments_are_errors(arguments, fault):
    with pytest.raises(InputError, match=fault):
        layer(**arguments)
