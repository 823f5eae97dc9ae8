"""mmcv's compiled op as a backend: when it is refused, how it is called, its results."""

import mmcv._ext
import pytest
import torch
from helpers.stock_attention import attention_inputs, mmcv_fallback, output_and_gradients

from mmproscale.ops import mmcv_attention, multi_scale_deformable_attention

SHAPES = ((5, 7), (1, 1), (3, 2))
HALF = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])


def attend(value, locations, weights, backend="mmcv"):
    return multi_scale_deformable_attention(value, SHAPES, locations, weights, backend)


def test_refuses_tensors_outside_cuda():
    assert "not torch.float32 on cpu" in mmcv_attention.refuses(torch.zeros(1))


def test_refuses_fp64(compiled_mmcv):
    assert "fp32, fp16 and bf16 on CUDA, not torch.float64" in mmcv_attention.refuses(
        torch.zeros(1, dtype=torch.float64)
    )
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        assert mmcv_attention.refuses(torch.zeros(1, dtype=dtype)) is None


def test_is_the_automatic_choice_where_it_can_run(compiled_mmcv, monkeypatch):
    calls, forward = [], mmcv_attention.forward
    monkeypatch.setattr(mmcv_attention, "forward", lambda *a: calls.append(1) or forward(*a))
    value, locations, weights = attention_inputs(list(SHAPES), dtype=torch.float32)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        attend(value.to(dtype), locations, weights, backend=None)
    assert calls == [1, 1, 1]


def test_values_and_gradients_are_mmcvs(compiled_mmcv):
    inputs = [t.detach().float().requires_grad_() for t in attention_inputs(list(SHAPES))]
    theirs = output_and_gradients(
        lambda v, *rest: mmcv_fallback()(v, torch.tensor(SHAPES), *rest), inputs
    )
    for mine, expected in zip(output_and_gradients(attend, inputs), theirs, strict=True):
        torch.testing.assert_close(mine, expected)


def test_memory_may_have_any_order(compiled_mmcv):
    inputs = attention_inputs(list(SHAPES), dtype=torch.float32)
    value = inputs[0].detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    points = (t.detach().repeat_interleave(2, -1)[..., ::2].requires_grad_() for t in inputs[1:])
    moved = (value, *points)
    assert not any(tensor.is_contiguous() for tensor in moved)
    # The gradient of a sum is expanded, so it is not contiguous either.
    results = [torch.autograd.grad(attend(*tensors).sum(), tensors) for tensors in (inputs, moved)]
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected)


@HALF
def test_locations_of_half_precision_values_stay_exact(compiled_mmcv, dtype):
    value, locations, weights = attention_inputs(list(SHAPES), dtype=torch.float32)
    value = value.detach().to(dtype).requires_grad_()
    inputs = value, locations, weights
    mine = output_and_gradients(attend, inputs)
    assert [t.dtype for t in mine] == [dtype, dtype, torch.float32, torch.float32]
    expected = output_and_gradients(lambda *tensors: attend(*tensors, backend="torch"), inputs)
    for ours, other in zip(mine, expected, strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-2, atol=1e-5)


def test_sizes_are_copied_to_the_device_once(compiled_mmcv, monkeypatch):
    seen, forward = [], mmcv._ext.ms_deform_attn_forward
    monkeypatch.setattr(
        mmcv._ext,
        "ms_deform_attn_forward",
        lambda *args, **kwargs: seen.append((args, kwargs)) or forward(*args, **kwargs),
    )
    inputs = [t.detach().float() for t in attention_inputs(list(SHAPES))]
    with torch.inference_mode():
        attend(*inputs)
    attend(*inputs)
    (first, how), (second, _) = seen
    assert first[1] is second[1] and first[2] is second[2]
    assert first[1].tolist() == [list(shape) for shape in SHAPES]
    assert first[2].tolist() == [0, 35, 36]
    assert not first[1].is_inference()
    # All images at once: im2col_step must divide their number.
    assert how == {"im2col_step": 2}


def needs_the_compiled_op():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device: mmcv's compiled op has no other")
    if reason := mmcv_attention.refuses(torch.zeros(1, device="cuda")):
        pytest.skip(f"mmcv's op {reason}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shapes", [[(5, 7)], [(25, 34), (50, 68), (100, 136)]])
def test_the_compiled_op_equals_torch_on_cuda(shapes, dtype):
    needs_the_compiled_op()
    inputs = attention_inputs(shapes, queries=100, heads=8, head_dim=32, points=4)
    inputs = tuple(t.detach().float().cuda().requires_grad_() for t in inputs)

    def attend(backend):
        return lambda value, *rest: multi_scale_deformable_attention(
            value.to(dtype), shapes, *rest, backend
        )

    mine, expected = (output_and_gradients(attend(b), inputs) for b in ("mmcv", "torch"))
    for a, b in zip(mine, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 if dtype == torch.float32 else 3e-2)
