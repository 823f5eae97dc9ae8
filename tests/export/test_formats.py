"""Files of each format and precision: what they compute, their names, axes and metadata."""

import sys

import pytest
import torch
from helpers.exported_files import INFO, TinyGraph, write_tiny

from mmproscale.errors import InputError
from mmproscale.export.formats import check_choice, trace, write
from mmproscale.export.onnx_model import PLUGIN
from mmproscale.inference.exported_file import ExportedFile
from mmproscale.ops import attention_backend, multi_scale_deformable_attention

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


@pytest.mark.slow
def test_fp16_halves_the_weights_and_keeps_names(tmp_path):
    onnx = pytest.importorskip("onnx")
    write_tiny(tmp_path / "tiny.onnx", free=True, precision="fp16")
    model = onnx.load(tmp_path / "tiny.onnx")
    onnx.checker.check_model(model, full_check=True)
    of_products = {
        name for node in model.graph.node if node.op_type in ("Conv", "MatMul", "Gemm")
        for name in node.input
    }  # fmt: skip
    types = {t.data_type for t in model.graph.initializer if t.name in of_products}
    assert types == {onnx.TensorProto.FLOAT16}
    assert [value.name for value in model.graph.input] == ["images"]
    assert [value.name for value in model.graph.output] == ["logits", "count"]
    axes = model.graph.input[0].type.tensor_type.shape.dim
    assert [axis.dim_param or axis.dim_value for axis in axes] == ["batch", 3, "height", "width"]
    metadata = {part.key: part.value for part in model.metadata_props}
    assert metadata == INFO.to_strings() | {"mmproscale.precision": "fp16"}


class Attention(torch.nn.Module):
    inputs, outputs = ("value", "locations", "weights"), ("attended",)

    def forward(self, value, locations, weights):
        return (multi_scale_deformable_attention(value, ((4, 6), (2, 3)), locations, weights),)


@pytest.mark.slow
@torch.no_grad()
def test_the_plugins_node_has_tensorrts_inputs(tmp_path):
    onnx = pytest.importorskip("onnx")
    examples = [torch.randn(1, 30, 2, 8), torch.rand(1, 5, 2, 2, 4, 2), torch.rand(1, 5, 2, 2, 4)]
    with attention_backend("torch"):
        program = trace(Attention(), examples, None)
    names = Attention.inputs, Attention.outputs
    write(program, tmp_path / "plugin.onnx", names, INFO.to_strings())
    graph = onnx.load(tmp_path / "plugin.onnx").graph
    (node,) = (node for node in graph.node if node.op_type == PLUGIN)
    assert [node.input[0], *node.input[3:]] == ["value", "locations", "weights"]
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    shapes, starts = (constants[name] for name in node.input[1:3])
    assert shapes.tolist() == [[4, 6], [2, 3]] and starts.tolist() == [0, 24]
    assert shapes.dtype == starts.dtype == "int32"
    assert {"plugin_version", "plugin_namespace"} == {part.name for part in node.attribute}
    sizes = graph.output[0].type.tensor_type.shape.dim
    assert [size.dim_value for size in sizes] == [1, 5, 16]


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
