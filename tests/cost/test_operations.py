"""Counting: fvcore's figure, by module, without computing."""

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
from torch import nn

from mmproscale.cost.operations import count_operations


class EveryKind(nn.Module):
    """One of each operation that the papers' counting knows."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.bare = nn.ModuleList([nn.GroupNorm(2, 8, affine=False), nn.GroupNorm(2, 8)])
        self.up = nn.ConvTranspose2d(8, 8, 4, 2, 1)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norms = nn.ModuleList([nn.LayerNorm(8), nn.LayerNorm(8)])

    def forward(self, images):
        x = self.grouped(self.stem(images))
        x = self.bare[1](self.bare[0](self.up(x)))
        x = nn.functional.interpolate(x, (6, 10), mode="bilinear", align_corners=False)
        x = nn.functional.interpolate(x, (5, 7), mode="nearest")
        tokens = x.flatten(2).transpose(1, 2)
        mask = torch.zeros(35, 35, dtype=tokens.dtype, device=tokens.device)
        tokens = self.norms[0](self.attention(tokens, tokens, tokens + 1, attn_mask=mask)[0])
        heads = tokens.unflatten(-1, (2, 4)).transpose(1, 2)
        heads = nn.functional.scaled_dot_product_attention(heads, heads, heads)
        tokens = self.norms[1](heads.transpose(1, 2).flatten(2))
        return torch.einsum("bnc,bmc->bnm", tokens, tokens) @ tokens


def by_fvcore(network, images):
    def baddbmm(inputs, outputs):
        (batch, rows, inner), (_, _, columns) = get_shape(inputs[1]), get_shape(inputs[2])
        return batch * rows * inner * columns

    def attention(inputs, outputs):
        (batch, heads, queries, dims), (_, _, keys, _) = get_shape(inputs[0]), get_shape(inputs[1])
        return 2 * batch * heads * queries * keys * dims

    analysis = FlopCountAnalysis(network, images)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.set_op_handle("aten::baddbmm", baddbmm)
    analysis.set_op_handle("aten::scaled_dot_product_attention", attention)
    return analysis


def test_every_kind_of_operation_is_counted_as_fvcore_counts_it():
    network = EveryKind().eval().requires_grad_(False)
    images = torch.randn(1, 3, 20, 28)
    counts, expected = count_operations(network, images)[0], by_fvcore(network, images)
    assert counts.of("") == expected.total()
    for path in ("stem", "grouped", "bare.0", "bare.1", "up", "attention", "norms.0", "norms.1"):
        assert counts.of(path) == expected.by_module()[path], path
    assert counts.of("bare") == counts.of("bare.0") + counts.of("bare.1") > 0
    assert counts.of("stem.2") == counts.of("nowhere") == 0


def test_the_meta_device_counts_the_same():
    network = EveryKind().eval().requires_grad_(False)
    real, _ = count_operations(network, torch.randn(2, 3, 20, 28))
    meta, _ = count_operations(network.to("meta"), torch.zeros(2, 3, 20, 28, device="meta"))
    assert [meta.of(name) for name, _ in network.named_modules()] == [
        real.of(name) for name, _ in network.named_modules()
    ]
