"""DETR's encoder: each image to its own exit, and the cost of its layers."""

import torch

from mmproscale.cost.operations import count_operations
from mmproscale.models.encoders.dense_encoder import MAP_STRIDE, DenseEncoder

B, N, C = 4, 12, 32
LAYER = dict(
    self_attn_cfg=dict(embed_dims=C, num_heads=4, dropout=0.0, batch_first=True),
    ffn_cfg=dict(embed_dims=C, feedforward_channels=48, num_fcs=2, ffn_drop=0.0),
)


def make():
    return DenseEncoder(num_layers=4, layer_cfg=LAYER).eval()


def inputs():
    padding = torch.zeros(B, N, dtype=torch.bool)
    padding[0, 8:], padding[3, 5:] = True, True
    return torch.randn(B, N, C), torch.randn(B, N, C), padding


@torch.no_grad()
def test_each_image_has_the_tokens_of_its_exit_and_layers_run_only_for_images_that_reach_them():
    encoder, given, seen = make(), inputs(), []
    assert encoder.schedule.exits == (1, 2, 3, 4)
    at_exits = dict(encoder.encode(*given, (2, 3, 4)))
    torch.testing.assert_close(at_exits[4], encoder(*given))
    for layer in encoder.layers:
        layer.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    exits = (4, 2, 3, 2)
    tokens = encoder.encode_images(*given, exits)
    assert seen == [4, 4, 2, 1]
    for image, exit_ in enumerate(exits):
        torch.testing.assert_close(tokens[image], at_exits[exit_][image])
    assert not torch.allclose(at_exits[2], at_exits[4])
    without_padding = encoder.encode_images(*given[:2], None, exits)
    assert not torch.allclose(tokens[0], without_padding[0])
    torch.testing.assert_close(tokens[1], without_padding[1])


def test_layers_cost_what_a_trace_of_them_counts():
    encoder = make().requires_grad_(False)
    tokens, positions = torch.randn(2, 1, N, C).unbind()
    counts, _ = count_operations(encoder.layers[0], tokens, positions, None)
    assert encoder.layer_costs({MAP_STRIDE: (3, 4), 16: (6, 8)}) == (counts.of(""),) * 4
