"""The stand-in for mmcv's compiled ops: clear when called, and deformable attention that works."""

import pytest
import torch
from helpers.stock_attention import mmcv_fallback

from mmproscale.compat import mmcv_ext

SHAPES = [(4, 6), (2, 3)]


def attention_inputs() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def rand(*size: int) -> torch.Tensor:
        return torch.rand(*size, generator=generator, dtype=torch.float64)

    return {
        "value": rand(2, 30, 4, 8),
        "sampling_locations": rand(2, 5, 4, 2, 3, 2) * 1.2 - 0.1,
        "attention_weights": rand(2, 5, 4, 2, 3),
    }


def reference(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return mmcv_fallback()(
        inputs["value"],
        torch.tensor(SHAPES),
        inputs["sampling_locations"],
        inputs["attention_weights"],
    )


@pytest.mark.parametrize(
    "stack, advice", [("openmmlab", "install mmcv 2.1.0"), ("onedl", "pip install .* onedl-mmcv")]
)
def test_a_missing_op_says_so_when_called(monkeypatch, stack, advice):
    monkeypatch.setattr(mmcv_ext, "stack", lambda: stack)
    with pytest.raises(
        RuntimeError, match=f"without its compiled ops; `softnms` needs them: .*{advice}"
    ):
        mmcv_ext.softnms(torch.zeros(1, 4), torch.zeros(1), iou_threshold=0.5)


def test_has_no_dunder_names():
    assert not hasattr(mmcv_ext, "__path__")


def test_mmcv_can_report_its_compiler():
    assert mmcv_ext.get_compiler_version() == "n/a (no compiled ops)"
    assert mmcv_ext.get_compiling_cuda_version() == "n/a (no compiled ops)"


def test_deformable_attention_forward_is_mmcvs():
    inputs = attention_inputs()
    out = mmcv_ext.ms_deform_attn_forward(
        inputs["value"],
        torch.tensor(SHAPES),
        torch.tensor([0, 24]),
        inputs["sampling_locations"],
        inputs["attention_weights"],
        im2col_step=64,
    )
    torch.testing.assert_close(out, reference(inputs))


def test_deformable_attention_backward_is_mmcvs():
    inputs = attention_inputs()
    grads = [torch.zeros_like(tensor) for tensor in inputs.values()]
    grad_output = torch.linspace(-1, 1, 2 * 5 * 32, dtype=torch.float64).view(2, 5, 32)
    mmcv_ext.ms_deform_attn_backward(
        inputs["value"],
        torch.tensor(SHAPES),
        torch.tensor([0, 24]),
        inputs["sampling_locations"],
        inputs["attention_weights"],
        grad_output,
        *grads,
        im2col_step=64,
    )
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in inputs.items()}
    reference(leaves).backward(grad_output)
    for ours, leaf in zip(grads, leaves.values(), strict=True):
        torch.testing.assert_close(ours, leaf.grad)
