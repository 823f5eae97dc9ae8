"""deformops as a backend: the choice of it by a stand-in, its results where it is installed."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
import torch
from helpers.stock_attention import attention_inputs, mmcv_fallback, output_and_gradients

from mmproscale.errors import InputError
from mmproscale.ops import attention_backend, deformops_attention, multi_scale_deformable_attention
from mmproscale.ops.multi_scale_deformable_attention import fastest_backend

SHAPES = ((5, 7), (1, 1), (3, 2))
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
BF16, FP32 = torch.bfloat16, torch.float32


def attend(value, locations, weights, backend="deformops", shapes=SHAPES):
    return multi_scale_deformable_attention(value, shapes, locations, weights, backend)


def inputs_of(dtype, device="cpu", **more):
    """Return values and weights in ``dtype`` and locations in fp32, which want gradients."""
    value, locations, weights = attention_inputs(list(SHAPES), dtype=FP32, **more)
    tensors = value.to(dtype), locations, weights
    return tuple(tensor.detach().to(device).requires_grad_() for tensor in tensors)


@pytest.fixture
def on_cpu(monkeypatch):
    """Have the backend take tensors of the CPU, as if that were a GPU of today."""
    monkeypatch.setattr(deformops_attention, "DEVICE", "cpu")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda gpu: (9, 0))


@pytest.fixture
def stand_in(on_cpu, monkeypatch):
    """Put a package instead of deformops, which notes its calls and computes as mmcv."""
    calls = []

    def msda(value, shapes, starts, locations, weights, *, backend):
        calls.append((value.dtype, locations.dtype, weights.dtype, starts.tolist(), backend))
        exact = (tensor.float() for tensor in (locations, weights))
        return mmcv_fallback()(value.float(), shapes, *exact).to(value.dtype)

    msda.calls, msda.registered = calls, True
    msda.is_registered = lambda backend: msda.registered
    msda.unavailable_reason = lambda backend: f"no {backend} today"
    package, registry = ModuleType("deformops"), ModuleType("deformops.registry")
    package.__spec__ = ModuleSpec("deformops", None)
    registry.Backend, registry.msda = str, msda
    monkeypatch.setitem(sys.modules, "deformops", package)
    monkeypatch.setitem(sys.modules, "deformops.registry", registry)
    return msda


def test_takes_the_three_dtypes_on_cuda_only():
    assert "not torch.float32 on cpu" in deformops_attention.refuses(torch.zeros(1))


def test_without_the_package_the_choice_is_as_before(on_cpu, monkeypatch):
    monkeypatch.setitem(sys.modules, "deformops", None)  # its import fails
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    reason = deformops_attention.refuses(torch.zeros(1))
    assert "needs the package deformops" in reason and "mmproscale[gpu]" in reason
    value, *points = inputs_of(BF16)
    assert fastest_backend(value, SHAPES, *points) == "grid_sample"
    with pytest.raises(InputError, match="needs the package deformops"):
        attend(value, *points)


@pytest.mark.parametrize("dtype", DTYPES)
def test_is_chosen_where_mmcv_has_no_compiled_op(stand_in, dtype):
    value, *points = inputs_of(dtype)
    assert fastest_backend(value, SHAPES, *points) == "deformops"


def test_only_bf16_is_better_here_than_by_mmcvs_compiled_op(stand_in, compiled_mmcv):
    chosen = {}
    for dtype in (*DTYPES, torch.float64):
        value, *points = inputs_of(dtype)
        chosen[dtype] = fastest_backend(value, SHAPES, *points)
    assert chosen == {
        torch.float32: "mmcv",
        torch.float16: "mmcv",
        torch.bfloat16: "deformops",
        torch.float64: "grid_sample",
    }


def test_a_kernel_that_cannot_run_is_passed_over(stand_in, monkeypatch):
    value, *points = inputs_of(BF16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda gpu: (6, 1))
    assert "7.0 or higher" in deformops_attention.refuses(value)
    assert fastest_backend(value, SHAPES, *points) == "grid_sample"
    stand_in.registered = False
    assert deformops_attention.refuses(value) == "can't run here: no triton today"


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_kernel_gets_exact_locations_and_sums_gradients_in_fp32(stand_in, dtype):
    inputs = inputs_of(dtype)
    mine = output_and_gradients(attend, inputs)
    # By its name, the kernel with the fp32 sums; the package's own choice may be another.
    assert stand_in.calls == [(dtype, FP32, dtype, [0, 35, 36], "triton")]
    expected = output_and_gradients(lambda *tensors: attend(*tensors, backend="torch"), inputs)
    tolerance = {} if dtype == FP32 else dict(rtol=2e-2, atol=2e-2)
    for ours, other in zip(mine, expected, strict=True):
        assert ours.dtype == other.dtype
        torch.testing.assert_close(ours, other, **tolerance)


def test_a_context_names_it(stand_in):
    with attention_backend("deformops"):
        attend(*inputs_of(FP32), backend=None)
    assert len(stand_in.calls) == 1


@pytest.mark.parametrize("shapes", [((5, 7), (0, 3), (3, 2)), ((0, 0), (0, 1), (1, 0))])
def test_empty_levels_are_not_its_own(stand_in, shapes):
    inputs = tuple(t.to(BF16) for t in attention_inputs(list(shapes), dtype=FP32))
    expected = attend(*inputs, backend="grid_sample", shapes=shapes)
    assert stand_in.calls == []
    torch.testing.assert_close(attend(*inputs, shapes=shapes), expected)
    assert stand_in.calls == []


@pytest.fixture
def eager(on_cpu, monkeypatch):
    """Run the installed deformops by its eager backend."""
    pytest.importorskip("deformops", reason="deformops is not installed: it needs Python 3.12")
    monkeypatch.setattr(deformops_attention, "KERNEL", "eager")


def test_the_installed_package_has_the_kernel(eager):
    from deformops.registry import Backend, msda

    assert Backend("triton") in list(Backend) and msda.is_registered(Backend("eager"))
    assert deformops_attention.refuses(torch.zeros(1)) is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_ours_on_a_cpu(eager, dtype):
    inputs = inputs_of(dtype)
    mine = output_and_gradients(attend, inputs)
    expected = output_and_gradients(lambda *tensors: attend(*tensors, backend="torch"), inputs)
    tolerance = dict(rtol=1e-4, atol=1e-5) if dtype == FP32 else dict(rtol=2e-2, atol=2e-2)
    for ours, other in zip(mine, expected, strict=True):
        assert ours.dtype == other.dtype
        torch.testing.assert_close(ours, other, **tolerance)


@pytest.mark.slow
def test_compiles_whole(eager):
    inputs = inputs_of(FP32)
    compiled = torch.compile(attend, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(*inputs), attend(*inputs))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_ours_on_a_gpu(dtype):
    inputs = inputs_of(dtype, "cuda", head_dim=32, queries=300)
    if reason := deformops_attention.refuses(inputs[0]):
        pytest.skip(reason)
    mine = output_and_gradients(attend, inputs)
    exact = tuple(tensor.detach().double().requires_grad_() for tensor in inputs)
    expected = output_and_gradients(
        lambda *tensors: attend(*tensors, backend="grid_sample").to(dtype), exact
    )
    tolerance = dict(rtol=1e-4, atol=1e-4) if dtype == FP32 else dict(rtol=2e-2, atol=5e-2)
    for ours, other in zip(mine, expected, strict=True):
        torch.testing.assert_close(ours, other.to(ours.dtype), **tolerance)
