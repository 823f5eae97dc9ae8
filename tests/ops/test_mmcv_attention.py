"""mmcv's compiled op as a backend: when it is refused, how it is called, what it gives."""

import mmcv._ext
import pytest
import torch
from helpers.stock_attention import attention_inputs, mmcv_fallback, output_and_gradients

from mmproscale.compat import mmcv_ext
from mmproscale.ops import mmcv_attention, multi_scale_deformable_attention

SHAPES = ((5, 7), (1, 1), (3, 2))


def test_refuses_what_is_not_on_cuda():
    assert "not torch.float32 on cpu" in mmcv_attention.refuses(torch.zeros(1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_refuses_what_the_kernel_was_not_written_for(dtype):
    class OnCuda:
        is_cuda, device = True, "cuda:0"

    OnCuda.dtype = dtype
    assert mmcv_attention.refuses(OnCuda()) == f"takes fp32 and fp16 on CUDA, not {dtype} on cuda:0"


@pytest.fixture
def arguments(monkeypatch):
    """What the compiled op is called with; compat's stand-in, which computes, in its place."""
    seen = []

    def noting(op):
        def call(*args, **kwargs):
            seen.append((args, kwargs))
            return op(*args, **kwargs)

        return call

    for name in ("ms_deform_attn_forward", "ms_deform_attn_backward"):
        monkeypatch.setattr(mmcv._ext, name, noting(getattr(mmcv_ext, name)), raising=False)
    return seen


def test_the_op_gets_mmcvs_arguments(arguments):
    value, locations, weights = (t.detach() for t in attention_inputs(list(SHAPES)))
    mmcv_attention.forward(
        value.transpose(1, 2).contiguous().transpose(1, 2), SHAPES, locations, weights
    )
    ((args, kwargs),) = arguments
    assert all(tensor.is_contiguous() for tensor in args)
    assert args[1].tolist() == [list(shape) for shape in SHAPES]
    assert args[2].tolist() == [0, 35, 36]
    # All images at once: im2col_step must divide their number.
    assert kwargs == {"im2col_step": 2}


def test_values_and_gradients_are_mmcvs(arguments):
    inputs = attention_inputs(list(SHAPES))
    theirs = output_and_gradients(
        lambda v, *rest: mmcv_fallback()(v, torch.tensor(SHAPES), *rest), inputs
    )
    plain = [t.detach() for t in inputs]
    output = mmcv_attention.forward(plain[0], SHAPES, *plain[1:])
    torch.testing.assert_close(output, theirs[0])
    probe = torch.randn(
        output.shape, generator=torch.Generator().manual_seed(1), dtype=output.dtype
    )
    gradients = mmcv_attention.backward(probe, plain[0], SHAPES, *plain[1:])
    for mine, expected in zip(gradients, theirs[1:], strict=True):
        torch.testing.assert_close(mine, expected)


def test_half_precision_locations_are_returned_in_their_own_dtype(arguments):
    value, locations, weights = (t.detach().float() for t in attention_inputs(list(SHAPES)))
    value = value.half()
    output = mmcv_attention.forward(value, SHAPES, locations, weights)
    gradients = mmcv_attention.backward(output.float(), value, SHAPES, locations, weights)
    assert [t.dtype for t in (output, *gradients)] == [
        torch.float16,
        torch.float16,
        torch.float32,
        torch.float32,
    ]
    # The compiled op wants all of value's dtype.
    assert {args[3].dtype for args, _ in arguments} == {torch.float16}


def needs_the_compiled_op():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device: mmcv's compiled op has no other")
    if reason := mmcv_attention.refuses(torch.zeros(1, device="cuda")):
        pytest.skip(f"mmcv's op {reason}")


@pytest.mark.parametrize("shapes", [[(5, 7)], [(25, 34), (50, 68), (100, 136)]])
def test_the_compiled_op_equals_torch_on_cuda(shapes):
    needs_the_compiled_op()
    inputs = attention_inputs(shapes, queries=100, heads=8, head_dim=32, points=4)
    inputs = tuple(t.detach().float().cuda().requires_grad_() for t in inputs)

    def attend(backend):
        return lambda value, *rest: multi_scale_deformable_attention(value, shapes, *rest, backend)

    mine, expected = (output_and_gradients(attend(b), inputs) for b in ("mmcv", "torch"))
    for a, b in zip(mine, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
