"""Deformable convolution: every backend against a loop over pixels and taps, and one another.

Compiled ops that are not installed have strict stand-ins.
"""

import pytest
import torch
import torch.nn.functional as F

from mmproscale.errors import InputError
from mmproscale.models.pixel_decoders import DeformableConvolution
from mmproscale.ops import deformable_convolution as module
from mmproscale.ops import mmcv_attention
from mmproscale.ops.deformable_convolution import CONVOLUTION_BACKENDS, deformable_convolution

EVERY = pytest.mark.parametrize("backend", CONVOLUTION_BACKENDS)


pytestmark = pytest.mark.usefixtures("compiled_mmcv", "compiled_torchvision")


def inputs(size=3, shape=(7, 6), dtype=torch.float64, batch=2, channels=3, out=4, reach=2.0):
    """Offsets lead far beyond the borders."""
    taps = size**2
    tensors = (
        torch.randn(batch, channels, *shape),
        torch.randn(batch, 2 * taps, *shape) * reach,
        torch.rand(batch, taps, *shape),
        torch.randn(out, channels, size, size) / taps,
    )
    return [tensor.to(dtype).requires_grad_() for tensor in tensors]


def pixel(image, y, x):
    """Bilinear value of (C, H, W) at a place, zeros outside."""
    top, left = int(torch.floor(y)), int(torch.floor(x))
    value = torch.zeros_like(image[:, 0, 0])
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                share = (1 - (y - row).abs()) * (1 - (x - column).abs())
                value = value + share * image[:, row, column]
    return value


def by_hand(x, offsets, modulation, weight):
    size = weight.shape[-1]
    out = x.new_zeros(len(x), len(weight), *x.shape[2:])
    for b in range(len(x)):
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                for tap in range(size**2):
                    row, column = divmod(tap, size)
                    y = i + row - size // 2 + offsets[b, 2 * tap, i, j]
                    across = j + column - size // 2 + offsets[b, 2 * tap + 1, i, j]
                    sample = modulation[b, tap, i, j] * pixel(x[b], y, across)
                    out[b, :, i, j] += weight[:, :, row, column] @ sample
    return out


@EVERY
@pytest.mark.parametrize("size", [1, 3])
def test_is_the_sum_over_moved_taps(backend, size):
    given = inputs(size, shape=(4, 3), batch=2)
    with torch.no_grad():
        torch.testing.assert_close(
            deformable_convolution(*given, backend), by_hand(*given), rtol=0, atol=1e-10
        )


@EVERY
def test_gradients_are_those_of_the_sum(backend):
    given = inputs(shape=(3, 4), batch=1, channels=2, out=2, reach=0.7)
    assert torch.autograd.gradcheck(
        lambda *tensors: deformable_convolution(*tensors, backend), given, eps=1e-6, atol=1e-5
    )


@EVERY
def test_without_offsets_it_is_a_convolution(backend):
    x, offsets, modulation, weight = inputs(dtype=torch.float32, shape=(40, 56), channels=32)
    out = deformable_convolution(x, offsets * 0, modulation * 0 + 1, weight, backend)
    torch.testing.assert_close(out, F.conv2d(x, weight, padding=1), rtol=0, atol=1e-5)


@EVERY
def test_backends_agree_in_fp32(backend):
    given = inputs(dtype=torch.float32, shape=(40, 56), channels=32, out=16)
    reference = deformable_convolution(*(tensor.double() for tensor in given), "torch")
    out = deformable_convolution(*given, backend)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, reference.float(), rtol=0, atol=1e-5)


def test_torchvision_comes_before_torch_and_gets_its_own_order_of_arguments(
    compiled_torchvision, monkeypatch
):
    seen, _ = compiled_torchvision
    monkeypatch.setitem(module._FINDERS, "mmcv", lambda: None)
    given = inputs(shape=(4, 3))
    out = deformable_convolution(*given)
    assert seen == [1]
    torch.testing.assert_close(out, by_hand(*given), rtol=0, atol=1e-10)


def test_a_torchvision_without_its_ops_is_not_taken(compiled_torchvision, monkeypatch):
    seen, packages = compiled_torchvision
    packages["torchvision.extension"]._has_ops = lambda: False
    monkeypatch.setitem(module._FINDERS, "mmcv", lambda: None)
    given = inputs(shape=(4, 3))
    assert deformable_convolution(*given).shape == (2, 4, 4, 3) and not seen
    with pytest.raises(InputError, match=r"'torchvision' is not installed: install torchvision"):
        deformable_convolution(*given, "torchvision")


def test_mmcv_without_compiled_ops_is_not_taken(monkeypatch):
    monkeypatch.undo()  # what is installed here
    module._mmcv.cache_clear()
    assert (module._mmcv() is not None) == mmcv_attention.has_compiled_ops()


def strided(tensor):
    """Return the same values channels-last, the layout of PEM's maps and offsets."""
    wide = torch.cat([tensor, tensor], dim=1).contiguous(memory_format=torch.channels_last)
    return wide[:, : tensor.shape[1]].detach().requires_grad_()


@EVERY
def test_memory_may_have_any_order(backend):
    given = inputs(shape=(4, 3))
    moved = [strided(tensor) for tensor in given]
    assert not any(tensor.is_contiguous() for tensor in moved)
    results = []
    for tensors in (given, moved):
        out = deformable_convolution(*tensors, backend)
        gradients = torch.autograd.grad(out.square().sum(), tensors)
        results.append((out, *gradients))
    torch.testing.assert_close(results[0][0], by_hand(*given), rtol=0, atol=1e-10)
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected)


@EVERY
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True], ids=["", "autocast"])
def test_half_precision_is_computed_in_fp32(backend, dtype, autocast):
    given = inputs(dtype=dtype, shape=(9, 130), channels=32)
    whole = [tensor.detach().float().requires_grad_() for tensor in given]
    expected = deformable_convolution(*whole, backend)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = deformable_convolution(*given, backend)
    assert torch.equal(out, expected.to(dtype))
    by_torch = deformable_convolution(*given, "torch")
    torch.testing.assert_close(out, by_torch, rtol=1e-2, atol=1e-5)
    probe = torch.randn(out.shape).to(dtype)
    mine = torch.autograd.grad(out, given, probe)
    for gradient, of_whole in zip(
        mine, torch.autograd.grad(expected, whole, probe.float()), strict=True
    ):
        assert torch.equal(gradient, of_whole.to(dtype))


@EVERY
def test_a_deformable_convolution_runs_by_each_backend_under_autocast(backend):
    conv = DeformableConvolution(8, 4, 3, padding=1, backend=backend)
    torch.nn.init.normal_(conv.conv_offset.weight, std=0.1)
    x = torch.randn(2, 8, 6, 7).contiguous(memory_format=torch.channels_last)
    expected = conv(x)
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x.bfloat16())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, rtol=0.05, atol=0.05)
    out.float().square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in conv.parameters())


@torch.no_grad()
def test_half_precision_offsets_still_tell_the_pixels_of_a_wide_map():
    x, offsets, modulation, weight = inputs(dtype=torch.float32, shape=(2, 3000), batch=1)
    half = deformable_convolution(x, offsets.half(), modulation, weight, "torch")
    whole = deformable_convolution(x, offsets.half().float(), modulation, weight, "torch")
    torch.testing.assert_close(half, whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("index", "change", "fault"),
    [
        (1, lambda t: t[:, :9], "offsets"),
        (2, lambda t: t[:, :8], "modulation"),
        (3, lambda t: t[..., :2, :2], "k odd"),
        (0, lambda t: t[:, :2], "weight"),
    ],
)
def test_shapes_that_do_not_fit_together_are_refused(index, change, fault):
    given = inputs()
    given[index] = change(given[index])
    with pytest.raises(InputError, match=fault):
        deformable_convolution(*given)


def test_an_unknown_backend_is_refused():
    with pytest.raises(InputError, match=r"backend='cuda' must be one of \('mmcv', "):
        deformable_convolution(*inputs(), backend="cuda")
