"""ONNX files: products in fp16, names, axes, metadata, and TensorRT's plugin."""

import pytest
import torch
from helpers.exported_files import INFO, write_tiny

from mmproscale.export.formats import trace, write
from mmproscale.export.onnx_model import PLUGIN
from mmproscale.ops import attention_backend, multi_scale_deformable_attention


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
