"""Swin's inference on a CPU equals mmdet's Swin, from the same weights."""

import copy
import pickle

import pytest
import torch
from mmdet.models.backbones.swin import SwinTransformer
from torch.utils.flop_counter import FlopCounterMode

from mmproscale.ops import swin_inference

STOCK = SwinTransformer.forward.__wrapped__


@pytest.fixture
def calls(monkeypatch) -> list:
    """Sizes of the maps that our function computed."""
    sizes, ours = [], swin_inference.swin_block

    def recorded(block, x, size):
        sizes.append(tuple(size))
        return ours(block, x, size)

    monkeypatch.setattr(swin_inference, "swin_block", recorded)
    return sizes


def swin(window: int = 4, **options) -> SwinTransformer:
    torch.manual_seed(0)
    sizes = dict(embed_dims=16, depths=(2, 2), num_heads=(2, 4), strides=(4, 2))
    model = SwinTransformer(
        **sizes, window_size=window, out_indices=(0, 1), drop_path_rate=0.3, **options
    )
    for name, parameter in model.named_parameters():
        # Zeros hide mistakes, and so do ones.
        torch.nn.init.normal_(parameter, 1.0 * name.endswith("norm.weight"), 0.2)
    model.eval()
    return model


@torch.no_grad()
def assert_equals_stock(model: SwinTransformer, images: torch.Tensor, **tolerance) -> None:
    ours = model(images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SwinTransformer, "forward", STOCK)
        theirs = model(images)
    tolerance = tolerance or dict(rtol=1e-5, atol=1e-5 * float(theirs[-1].abs().max()))
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        assert one.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(one, other, **tolerance)


@pytest.mark.parametrize("tokens", [16, 2048], ids=["many chunks", "one chunk"])
@pytest.mark.parametrize("size", [(64, 96), (60, 52), (8, 132)], ids=["fits", "padded", "thin"])
@pytest.mark.parametrize("window", [4, 7])
def test_equals_stock(calls, monkeypatch, window, size, tokens):
    monkeypatch.setattr(swin_inference, "TOKENS_OF_A_THREAD", tokens)
    assert_equals_stock(swin(window), torch.randn(2, 3, *size))
    assert calls == [(-(-size[0] // s), -(-size[1] // s)) for s in (4, 4, 8, 8)]


@pytest.mark.parametrize(
    "options",
    [
        dict(qkv_bias=False, qk_scale=0.3),
        dict(act_cfg=dict(type="ReLU")),
        dict(act_cfg=dict(type="GELU", approximate="tanh")),
        dict(patch_norm=False),
        dict(use_abs_pos_embed=True, pretrain_img_size=(60, 52)),
    ],
    ids=str,
)
def test_equals_stock_with_other_options(calls, options):
    assert_equals_stock(swin(**options), torch.randn(1, 3, 60, 52))
    assert calls


def test_equals_stock_in_half_precision(calls):
    images = torch.randn(1, 3, 60, 52)
    with torch.autocast("cpu", torch.bfloat16):
        assert_equals_stock(swin(), images, rtol=0.1, atol=0.2)
    assert len(calls) == 4


def test_without_onednn(monkeypatch):
    monkeypatch.setattr("mmproscale.ops.cpu_inference.HAS_ONEDNN", False)
    assert_equals_stock(swin(), torch.randn(1, 3, 60, 52))


def test_follows_weights_sizes_and_copies(calls):
    model = swin()
    for size in ((64, 96), (60, 52), (64, 96)):
        assert_equals_stock(model, torch.randn(1, 3, *size))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias_table" in name:
                parameter.mul_(-2)
    images = torch.randn(1, 3, 60, 52)
    assert_equals_stock(model, images)
    other = swin()
    other.load_state_dict(
        {k: 1.5 * w if w.is_floating_point() else w for k, w in model.state_dict().items()}
    )
    assert_equals_stock(other, images)
    for copied in (copy.deepcopy(other), pickle.loads(pickle.dumps(other))):
        torch.testing.assert_close(copied(images)[1], other(images)[1])
        assert_equals_stock(copied, images)


def test_gradients_training_hooks_and_counts_are_stock(calls):
    model, images = swin(), torch.randn(1, 3, 60, 52)
    sum(map.sum() for map in model(images)).backward()
    assert all(p.grad is not None for p in model.stages.parameters())
    with torch.no_grad():
        model.train()
        model(images)
        model.eval()
        with FlopCounterMode(display=False):
            model(images)
        assert calls == []
        seen = []
        attention = model.stages[0].blocks[1].attn.w_msa
        handle = attention.register_forward_hook(lambda *_: seen.append(1))
        model(images)
        assert calls == [] and seen == [1]
        handle.remove()
        model(images)
    assert len(calls) == 4


@torch.no_grad()
def test_other_blocks_and_mergers_are_called(calls):
    class Block(type(swin().stages[0].blocks[0])):
        def forward(self, x, hw_shape):
            return x + 1

    model = swin()
    model.stages[0].blocks[0].__class__ = Block
    model.stages[0].downsample.sampler.dilation = (2, 2)  # reads other tokens
    assert_equals_stock(model, torch.randn(1, 3, 60, 52))
    assert len(calls) == 3
