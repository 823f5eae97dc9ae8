"""The stand-in for mmcv's compiled ops: an op that is missing says so when it is called."""

import pytest
import torch

from mmproscale.compat import mmcv_ext


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
