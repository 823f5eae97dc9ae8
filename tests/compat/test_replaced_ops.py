"""Stock modules run our operator instead of mmcv's fallback, with equal results."""

import subprocess
import sys
import types
import warnings

import pytest
import torch
from helpers.stock_attention import (
    attention_inputs,
    mmcv_fallback,
    output_and_gradients,
    stock_as_it_is,
)
from mmcv.ops import MultiScaleDeformableAttention, multi_scale_deform_attn, sigmoid_focal_loss
from mmdet.models.layers import MSDeformAttnPixelDecoder
from mmengine.config import ConfigDict

from mmproscale import compat
from mmproscale.compat import replaced_ops
from mmproscale.ops import attention_backend, mmcv_attention, multi_scale_deformable_attention

NAME = replaced_ops.FALLBACK
CHANNELS = (8, 16, 16, 16)
STOCK = dict(
    in_channels=CHANNELS,
    feat_channels=32,
    out_channels=32,
    norm_cfg=dict(type="GN", num_groups=8),
    positional_encoding=dict(num_feats=16, normalize=True),
    encoder=ConfigDict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(
                embed_dims=32, num_heads=4, num_levels=3, dropout=0.0, batch_first=True
            ),
            ffn_cfg=dict(embed_dims=32, feedforward_channels=64, num_fcs=2, ffn_drop=0.0),
        ),
    ),
)


def stock_decoder():
    decoder = MSDeformAttnPixelDecoder(**STOCK)
    decoder.init_weights()
    for name, parameter in decoder.named_parameters():
        # Zeros hide mistakes: mmcv starts the attention's offsets and weights with them.
        if "sampling_offsets" in name or "attention_weights" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return decoder


def backbone_maps(height=64, width=96):
    return [
        torch.randn(2, c, height // s, width // s)
        for c, s in zip(CHANNELS, (4, 8, 16, 32), strict=True)
    ]


def test_a_stock_pixel_decoder_runs_ours_and_gives_the_same(embedding_bags):
    decoder, maps = stock_decoder(), backbone_maps()

    def run():
        decoder.zero_grad()
        mask_features, _ = decoder(maps)
        mask_features.square().mean().backward()
        return [mask_features.detach(), *(p.grad for p in decoder.parameters())]

    with attention_backend("torch"):
        with stock_as_it_is():
            theirs = run()
        assert embedding_bags == []
        mine = run()
        assert len(embedding_bags) == 2  # one for each layer
    for ours, expected in zip(mine, theirs, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


def test_detrs_cross_attention_runs_ours(embedding_bags):
    attention = MultiScaleDeformableAttention(embed_dims=32, num_heads=4, num_levels=2)
    shapes = torch.tensor([(3, 4), (6, 8)])

    def run():
        torch.manual_seed(0)
        return attention(
            query=torch.randn(7, 1, 32),
            value=torch.randn(60, 1, 32),
            reference_points=torch.rand(1, 7, 2, 4),  # boxes
            spatial_shapes=shapes,
            level_start_index=torch.tensor([0, 12]),
        )

    attention.eval()
    with attention_backend("torch"):
        mine = run()
    assert embedding_bags == [1]
    with stock_as_it_is():
        torch.testing.assert_close(mine, run())


def test_has_mmcvs_signature_and_gives_what_it_gives():
    shapes = [(5, 7), (3, 2)]
    ours = getattr(multi_scale_deform_attn, NAME)
    assert (ours.__name__, ours.__module__) == (NAME, multi_scale_deform_attn.__name__)
    assert ours is not mmcv_fallback()

    def calling(function):
        return lambda value, locations, weights: function(
            value=value,
            value_spatial_shapes=torch.tensor(shapes),
            sampling_locations=locations,
            attention_weights=weights,
        )

    inputs = attention_inputs(shapes)
    results = [output_and_gradients(calling(f), inputs) for f in (ours, mmcv_fallback())]
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected)


def test_replaces_once():
    ours = getattr(multi_scale_deform_attn, NAME)
    compat.apply()
    replaced_ops.replace_ops()
    assert getattr(multi_scale_deform_attn, NAME) is ours
    assert not hasattr(mmcv_fallback(), "__wrapped__")


def test_an_mmcv_without_the_function_is_not_changed():
    module = types.ModuleType("mmcv_of_tomorrow")
    replaced_ops._replace(module)
    assert not hasattr(module, NAME)


@torch.no_grad()
def test_a_trace_of_a_stock_decoder_takes_other_sizes():
    decoder = stock_decoder().eval().requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        traced = torch.jit.trace(lambda *maps: decoder(maps)[0], backbone_maps(), check_trace=False)
    kinds = {node.kind().partition("::")[0] for node in traced.inlined_graph.nodes()}
    assert kinds <= {"aten", "prim"}
    for maps in (backbone_maps(), backbone_maps(128, 64)):
        torch.testing.assert_close(traced(*maps), decoder(maps)[0])


@pytest.mark.slow
@torch.no_grad()
def test_a_stock_decoder_compiles(embedding_bags):
    decoder, maps = stock_decoder().eval(), backbone_maps()
    torch.compiler.reset()
    mask_features = torch.compile(decoder, backend="eager")(maps)[0]
    torch.testing.assert_close(mask_features, decoder(maps)[0])


def test_where_mmcv_is_imported_already_it_is_replaced_at_once():
    with stock_as_it_is():
        own = getattr(multi_scale_deform_attn, NAME)
        replaced_ops.replace_ops()
        assert getattr(multi_scale_deform_attn, NAME).__wrapped__ is own


def test_import_is_light_and_mmcvs_import_brings_the_replacement():
    code = (
        "import sys, mmproscale\n"
        "assert not {'torch', 'mmcv'} & set(sys.modules)\n"
        f"import {replaced_ops.MODULE} as module\n"
        "assert 'mmproscale.ops' not in sys.modules\n"
        f"assert module.{NAME}.__code__.co_filename != module.__file__\n"
        f"assert module.{NAME}.__wrapped__.__code__.co_filename == module.__file__\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("compiled", [False, True], ids=["", "compiled"])
def test_mmcvs_function_for_cuda_keeps_exact_locations(compiled_mmcv, monkeypatch, compiled, dtype):
    monkeypatch.setattr(mmcv_attention, "has_compiled_ops", lambda: compiled)
    shapes = [(5, 7), (3, 200)]
    value, locations, weights = (
        t.detach().float().requires_grad_() for t in attention_inputs(shapes)
    )
    value = value.detach().to(dtype).requires_grad_()
    levels = torch.tensor(shapes), torch.tensor([0, 35])
    function = getattr(multi_scale_deform_attn, replaced_ops.CUDA_FUNCTION)
    if dtype == torch.float64:
        locations, weights = (t.detach().double().requires_grad_() for t in (locations, weights))
    mine = output_and_gradients(
        lambda value, *points: function.apply(value, *levels, *points, 64),
        (value, locations, weights),
    )
    expected = output_and_gradients(
        lambda value, *points: multi_scale_deformable_attention(value, shapes, *points, "torch"),
        (value, locations, weights),
    )
    for ours, other in zip(mine, expected, strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_focal_loss_is_computed_in_fp32(compiled_mmcv, dtype):
    logits = torch.randn(7, 4).to(dtype).requires_grad_()
    labels = torch.tensor([0, 1, 2, 3, 4, 4, 0])
    exact = logits.detach().to(torch.promote_types(dtype, torch.float32)).requires_grad_()
    losses = [sigmoid_focal_loss(x, labels, 2.0, 0.25, None, "none") for x in (logits, exact)]
    assert torch.equal(*losses)
    gradients = [
        torch.autograd.grad(loss.sum(), x)[0]
        for loss, x in zip(losses, (logits, exact), strict=True)
    ]
    assert gradients[0].dtype == dtype
    assert torch.equal(gradients[0], gradients[1].to(dtype))


@pytest.mark.slow
def test_torchs_warning_on_meshgrid_is_silent():
    """torch warns once in a process, so another process calls it."""
    code = "import mmproscale, torch; torch.meshgrid(torch.ones(2), torch.ones(2))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
