"""Query decoder: the order of levels, its outputs, decoders without layers, and errors."""

import pytest
import torch
from torch import nn

from mmproscale.errors import InputError
from mmproscale.models.query_decoders import QueryDecoder

B, Q, C, LEVELS = 2, 5, 16, 3
ATTENTION = dict(embed_dims=C, num_heads=4, dropout=0.0, batch_first=True)


def make(num_layers, **layer):
    layer |= dict(self_attn_cfg=ATTENTION, cross_attn_cfg=ATTENTION)
    ffn = dict(embed_dims=C, feedforward_channels=32, num_fcs=2, ffn_drop=0.0)
    return QueryDecoder(num_layers=num_layers, layer_cfg=layer | dict(ffn_cfg=ffn)).eval()


def inputs():
    sizes = ((1, 2), (2, 3), (4, 5))
    return dict(
        queries=torch.randn(B, Q, C),
        query_pos=torch.randn(1, Q, C),
        memories=[torch.randn(B, h * w, C) for h, w in sizes],
        memory_pos=[torch.randn(1, h * w, C) for h, w in sizes],
        mask_features=[torch.randn(B, 8, h, w) for h, w in sizes],
    )


@torch.no_grad()
def test_layers_read_the_levels_in_turn_with_the_masks_so_far():
    decoder, given, embed = make(5), inputs(), nn.Linear(C, 8)
    seen = []
    for layer in decoder.layers:
        read = layer.read
        layer.read = lambda *args, read=read: seen.append(args) or read(*args)
    outputs, embeddings, bias = decoder(**given, mask_embed=lambda x: (embed(x), None))
    assert outputs.shape == (6, B, Q, C) and embeddings.shape == (6, B, Q, 8) and bias is None
    torch.testing.assert_close(outputs[0], decoder.post_norm(given["queries"]))
    torch.testing.assert_close(embeddings, embed(outputs))
    for index, (_, _, memory, _, features, embedding, _) in enumerate(seen):
        assert memory is given["memories"][index % LEVELS]
        assert features is given["mask_features"][index % LEVELS]
        torch.testing.assert_close(embedding, embeddings[index])


@torch.no_grad()
def test_without_layers_the_queries_are_normalised_and_biases_are_kept():
    decoder, given = make(0), inputs()
    outputs, _, bias = decoder(**given, mask_embed=lambda x: (x[..., :8], x[..., :1]))
    torch.testing.assert_close(outputs, decoder.post_norm(given["queries"])[None])
    assert torch.equal(bias, outputs[..., :1])


def test_layers_are_chosen_by_name():
    assert type(make(1).layers[0]).__name__ == "MaskedAttentionLayer"
    layer = make(1, type="PrototypeAttentionLayer").layers[0]
    assert type(layer).__name__ == "PrototypeAttentionLayer"


@pytest.mark.parametrize("number", [-1, 2.0, "3"])
def test_another_number_of_layers_is_an_error(number):
    with pytest.raises(InputError, match=r"transformer_decoder\.num_layers=.* must be 0 or more"):
        make(number)
