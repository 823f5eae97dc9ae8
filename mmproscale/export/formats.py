"""Writing of a traced graph: ONNX, OpenVINO, or torch.export's ``.pt2``, with its description."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mmproscale.errors import InputError
from mmproscale.export.int8 import quantize, sensitive_nodes
from mmproscale.inference.exported_file import PRECISION_KEY, needs
from mmproscale.utils.atomic_files import atomic_path

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}
PRECISIONS = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
PLUGIN = "MultiscaleDeformableAttnPlugin_TRT"
HALVED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators of ONNX that an fp16 file computes in fp16."""

DESCRIPTION = "mmproscale.json"
"""Name of a ``.pt2`` file's extra part with the description."""


class _Autocast(nn.Module):
    """Graph under autocast, with outputs in fp32."""

    def __init__(self, graph: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = graph, dtype

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast("cpu", dtype=self.dtype):
            outputs = self.network(*inputs)
        return tuple(out.float() if out.is_floating_point() else out for out in outputs)


def check_choice(format: str, precision: str, plugin: bool) -> None:
    """Check that a format can be written in a precision, and that its packages are installed.

    Raises:
        InputError: It can't be, or they are not.
    """
    if format == "onnx" and precision == "bf16":
        raise InputError(
            "--precision bf16 --format onnx: ONNX Runtime has no bf16 on CPUs, so use fp16, or "
            "--format openvino or torch"
        )
    if precision == "int8" and format != "openvino":
        raise InputError(f"--precision int8 --format {format}: int8 is for --format openvino")
    if plugin and (format != "onnx" or precision != "fp32"):
        raise InputError("--msda plugin is for TensorRT: give --format onnx --precision fp32")
    packages = {"onnx": ("onnxscript",), "openvino": ("onnxscript", "openvino")}.get(format, ())
    for package in (*packages, *["nncf"] * (precision == "int8")):
        needs(package)


def trace(
    graph: nn.Module,
    examples: Sequence[Tensor],
    free: Mapping[int, Any] | None,
    precision: str = "fp32",
) -> ExportedProgram:
    """Trace a graph by torch.export, within :func:`~mmproscale.export.graph.traceable`.

    Args:
        graph: A graph with ``inputs`` and ``outputs``, whose ``forward`` takes any number.
        examples: An example of each input.
        free: Axis -> ``Dim`` of each input's free axes; None for fixed sizes.
        precision: ``'fp32'``, or the precision of autocast.

    Raises:
        InputError: The model can't be traced with these free axes.
    """
    dtype = PRECISIONS[precision]
    module = graph if dtype is None else _Autocast(graph, dtype)
    shapes = None if free is None else ((dict(free),) * len(examples),)
    with _quiet():
        try:
            return torch.export.export(
                module.eval(),
                tuple(examples),
                dynamic_shapes=shapes,
                strict=False,
                prefer_deferred_runtime_asserts_over_guards=True,
            )
        except torch._dynamo.exc.UserError as error:
            said = " ".join(str(error).split())[:300]
            raise InputError(f"the model can't be exported with free sizes: {said}") from error


def free_axes(step: int, batch_only: bool = False) -> dict[int, Any]:
    """Return the free axes of images (B, 3, H, W), whose sides are multiples of ``step``."""
    axes: dict[int, Any] = {0: Dim("batch", min=1, max=64)}
    if not batch_only:
        for axis, name in ((2, "height"), (3, "width")):
            least = max(96, step)  # a map of stride 64 then has two cells, as guards want it
            free = Dim(name, min=-(-least // step), max=4096 // step)
            axes[axis] = free if step == 1 else step * free
    return axes


def write(
    program: ExportedProgram,
    out: Path,
    names: tuple[Sequence[str], Sequence[str]],
    metadata: Mapping[str, str],
    precision: str = "fp32",
    samples: Iterable[Sequence[Tensor]] = (),
) -> None:
    """Write a traced graph in the format of the suffix.

    Args:
        program: Result of :func:`trace`.
        out: ``.onnx``, ``.xml`` or ``.pt2`` file, replaced only when the new one is whole.
        names: Names of inputs and outputs.
        metadata: Texts by key.
        precision: ``'fp32'``, ``'fp16'``, ``'bf16'`` or ``'int8'``; a ``.pt2`` has it from the
            trace.
        samples: Inputs of the graph that calibrate ``'int8'``.

    Raises:
        InputError: The file can't be written.
    """
    if out.suffix == ".pt2":
        with atomic_path(out) as temporary:
            extra_files = {DESCRIPTION: json.dumps(dict(metadata))}
            torch.export.save(program, temporary, extra_files=extra_files)
        return
    model = _onnx_model(program, names, metadata)
    if out.suffix == ".onnx":
        if precision == "fp16":
            _halve(model)
        with atomic_path(out) as temporary:
            temporary.write_bytes(model.SerializeToString())
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.onnx"
        source.write_bytes(model.SerializeToString())
        write_openvino(source, out, precision, samples)


def _onnx_model(
    program: ExportedProgram,
    names: tuple[Sequence[str], Sequence[str]],
    metadata: Mapping[str, str],
) -> Any:
    """Return the ONNX model of a traced graph."""
    operator = torch.ops.mmproscale.multi_scale_deformable_attention.default
    with _quiet():
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


def _halve(model: Any) -> None:
    """Compute convolutions and matrix products of an ONNX model in fp16; the rest stays fp32."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    known = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    users: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, set()).add(node.op_type)
    half: dict[str, str] = {}  # fp32 name -> fp16 name
    nodes = []
    for node in graph.node:
        if node.op_type not in HALVED or _is_integer(node, known, weights):
            nodes.append(node)
            continue
        for index, name in enumerate(node.input):
            if not name:
                continue
            if name not in half:
                half[name] = f"{name}.fp16"
                if name in weights and weights[name].data_type == TensorProto.FLOAT:
                    array = numpy_helper.to_array(weights[name]).astype(np.float16)
                    graph.initializer.append(numpy_helper.from_array(array, half[name]))
                else:
                    cast = helper.make_node("Cast", [name], [half[name]], to=TensorProto.FLOAT16)
                    nodes.append(cast)
            node.input[index] = half[name]
        wide = node.output[0]
        node.output[0] = f"{wide}.half"
        nodes += [node, helper.make_node("Cast", [node.output[0]], [wide], to=TensorProto.FLOAT)]
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)


def _is_integer(node: Any, known: Mapping[str, int], weights: Mapping[str, Any]) -> bool:
    types = (known.get(name, 1) for name in (*node.input, *node.output))
    return any(kind not in (0, 1) for kind in types)


def write_openvino(
    source: Path, out: Path, precision: str, samples: Iterable[Sequence[Tensor]] = ()
) -> None:
    """Write an ONNX file in fp32 as OpenVINO's ``.xml`` and ``.bin``, with its metadata.

    Args:
        source: The ONNX file.
        out: The ``.xml`` file, replaced only when the new one is whole.
        precision: As of :func:`write`; the metadata name it.
        samples: Inputs of the graph that calibrate ``'int8'``.
    """
    openvino, model = needs("openvino"), needs("onnx").load(source)
    converted = openvino.convert_model(source)
    if precision == "int8":
        with _quiet():
            converted = quantize(converted, samples, sensitive_nodes(model))
    metadata = {text.key: text.value for text in model.metadata_props}
    for key, text in (metadata | {PRECISION_KEY: precision}).items():
        converted.set_rt_info(text, ["mmproscale", key])
    with atomic_path(out.with_suffix(".bin")) as weights, atomic_path(out) as temporary:
        openvino.save_model(converted, temporary, compress_to_fp16=precision == "fp16")
        os.replace(temporary.with_suffix(".bin"), weights)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which prints a line for each pass."""
    loggers = [
        logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    ]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), open(os.devnull, "w") as nowhere:
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(nowhere):
                yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
