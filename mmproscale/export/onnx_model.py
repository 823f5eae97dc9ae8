"""ONNX form of a traced graph: names of its free axes, TensorRT's plugin, products in fp16."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram

PLUGIN = "MultiscaleDeformableAttnPlugin_TRT"
HALVED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that an fp16 file computes in fp16."""


def onnx_model(
    program: ExportedProgram,
    names: tuple[Sequence[str], Sequence[str]],
    metadata: Mapping[str, str],
) -> Any:
    """Return the ONNX model of a traced graph."""
    operator = torch.ops.mmproscale.multi_scale_deformable_attention.default
    found = torch.onnx.export(
        program,
        (),
        input_names=list(names[0]),
        output_names=list(names[1]),
        custom_translation_table={operator: _plugin_node},
        dynamo=True,
        verbose=False,
    )
    assert found is not None
    found.model.metadata_props.update(metadata)
    model = found.model_proto
    _name_axes(model.graph)
    return model


def _name_axes(graph: Any) -> None:
    """Name the free axes of images, which the exporter numbers, in every shape of a graph."""
    axes = graph.input[0].type.tensor_type.shape.dim
    names = {}
    for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
        symbol = axes[axis].dim_param.rpartition("*")[2] if axis < len(axes) else ""
        multiple = axes[axis].dim_param.rpartition("*")[0] if symbol else ""
        if symbol:
            names[symbol] = f"{name}_by_{multiple}" if multiple else name
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(
                    r"\w+", lambda word: names.get(word.group(), word.group()), dim.dim_param
                )


def _plugin_node(
    value: Any, locations: Any, weights: Any, spatial_shapes: Sequence[int], backend: str
) -> Any:
    """Write NVIDIA's plugin for the operator of deformable attention; arguments are its own."""
    from onnxscript import opset18, values

    op: Any = opset18

    sizes = list(zip(spatial_shapes[::2], spatial_shapes[1::2], strict=True))
    starts = [sum(h * w for h, w in sizes[:level]) for level in range(len(sizes))]
    attended = values.Op(values.Opset("trt.plugins", 1), PLUGIN, _plugin_schema())(
        value,
        op.Cast(op.Reshape(op.Constant(value_ints=list(spatial_shapes)), [-1, 2]), to=6),
        op.Cast(op.Constant(value_ints=starts), to=6),
        locations,
        weights,
        plugin_version="1",
        plugin_namespace="",
    )
    return op.Reshape(attended, [0, 0, -1])  # BxQxHxD -> BxQxC


def _plugin_schema() -> Any:
    """Return the inputs, output and attributes of NVIDIA's plugin, by its README."""
    from onnx.defs import OpSchema

    parameter, attribute = OpSchema.FormalParameter, OpSchema.Attribute
    names = ("value", "sampling_locations", "attention_weights")
    value, locations, weights = (parameter(name, "T") for name in names)
    sizes, starts = (parameter(name, "I") for name in ("spatial_shapes", "level_start_index"))
    return OpSchema(
        PLUGIN,
        "trt.plugins",
        1,
        inputs=[value, sizes, starts, locations, weights],
        outputs=[parameter("output", "T")],
        type_constraints=[
            ("T", ["tensor(float)", "tensor(float16)"], ""),
            ("I", ["tensor(int32)"], ""),
        ],
        attributes=[
            attribute(name, OpSchema.AttrType.STRING, "")
            for name in ("plugin_version", "plugin_namespace")
        ],
    )


def halve(model: Any) -> None:
    """Compute a model's convolutions and matrix products in fp16, the rest in fp32; changes it."""
    graph, halves = model.graph, _Halves(model.graph)
    known = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    nodes: list[Any] = []
    for node in graph.node:
        halved = node.op_type in HALVED and not _has_integers(node, known)
        nodes += halves.compute(node) if halved else [node]
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *halves.weights])


def _has_integers(node: Any, known: Mapping[str, int]) -> bool:
    """Return True if an input or output is known to be of another type than fp32."""
    types = (known.get(name, 1) for name in (*node.input, *node.output))
    return any(kind not in (0, 1) for kind in types)


class _Halves:
    """Values of a graph in fp16: weights are rounded once, other values are cast.

    Attributes:
        weights: The rounded weights.
    """

    def __init__(self, graph: Any) -> None:
        self.weights: list[Any] = []
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._names: dict[str, str] = {}  # fp32 name -> fp16 name

    def compute(self, node: Any) -> Iterator[Any]:
        """Yield a node that computes in fp16, after casts of its inputs and before its output's."""
        for index, name in enumerate(node.input):
            if name and name not in self._names:
                yield from self._add(name)
            node.input[index] = self._names[name] if name else ""
        wide, node.output[0] = node.output[0], f"{node.output[0]}.half"
        yield node
        yield _cast(node.output[0], wide, "FLOAT")

    def _add(self, name: str) -> Iterator[Any]:
        """Add a value in fp16; yield its cast if it is no weight."""
        import numpy as np
        from onnx import TensorProto, numpy_helper

        half = self._names[name] = f"{name}.fp16"
        tensor = self._tensors.get(name)
        if tensor is None or tensor.data_type != TensorProto.FLOAT:
            yield _cast(name, half, "FLOAT16")
        else:
            array = numpy_helper.to_array(tensor).astype(np.float16)
            self.weights.append(numpy_helper.from_array(array, half))


def _cast(source: str, target: str, kind: str) -> Any:
    from onnx import TensorProto, helper

    return helper.make_node("Cast", [source], [target], to=TensorProto.DataType.Value(kind))
