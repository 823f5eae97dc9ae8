"""Files of each format and precision: what they compute, their names, axes and metadata."""

import sys

import pytest
import torch
from helpers.exported_files import INFO, TinyGraph, write_tiny

from mmproscale.errors import InputError
from mmproscale.export.formats import check_choice, trace, write
from mmproscale.inference.exported_file import ExportedFile

CASES = [
    (".onnx", "fp32", 1e-5), (".xml", "fp32", 1e-5), (".pt2", "fp32", 1e-6),
    (".onnx", "fp16", 5e-3), (".xml", "fp16", 2e-2), (".xml", "bf16", 5e-2), (".pt2", "bf16", 5e-2),
    (".xml", "int8", 0.15),  # measured 0.09: values beyond those of the calibration are cut off
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("suffix, precision, tolerance", CASES)
def test_a_file_computes_what_the_graph_does(suffix, precision, tolerance, tmp_path):
    out = tmp_path / f"tiny{suffix}"
    graph = write_tiny(out, batch=2, precision=precision)
    images = torch.randn(4, 3, 32, 64)  # two turns of a fixed batch of two
    with torch.no_grad():
        expected, _ = graph(images)
    file = ExportedFile(out)
    found, count = file(images)
    assert (found - expected).abs().max() < tolerance
    assert count.shape == (4,)
    assert (file.info.precision, file.info.categories) == (precision, INFO.categories)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {out.name} | ({"tiny.bin"} if suffix == ".xml" else set())


def test_choices_that_do_not_fit_are_one_line(monkeypatch):
    with pytest.raises(InputError, match="ONNX Runtime has no bf16 on CPUs"):
        check_choice("onnx", "bf16", False)
    with pytest.raises(InputError, match="give --format onnx --precision fp32"):
        check_choice("openvino", "fp32", True)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"onnxscript is not installed .*pip install onnx"):
        check_choice("onnx", "fp32", False)
    check_choice("torch", "bf16", False)


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    out = tmp_path / "tiny.pt2"
    out.write_bytes(b"old")
    program = trace(TinyGraph(), [torch.randn(1, 3, 8, 8)], None)
    monkeypatch.setattr(torch.export, "save", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(program, out, (("images",), ("logits", "count")), {})
    assert out.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
