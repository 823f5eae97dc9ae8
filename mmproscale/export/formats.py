"""Writing of a traced graph: ONNX, OpenVINO, or torch.export's ``.pt2``, with its description."""

from __future__ import annotations

import contextlib
import json
import logging
import os
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
from mmproscale.export.onnx_model import halve, onnx_model
from mmproscale.inference.exported_file import PRECISION_KEY, needs
from mmproscale.utils.atomic_files import atomic_path

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}
PRECISIONS = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}

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
    with _quiet():
        model = onnx_model(program, names, metadata)
    if out.suffix == ".onnx":
        if precision == "fp16":
            halve(model)
        with atomic_path(out) as temporary:
            temporary.write_bytes(model.SerializeToString())
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.onnx"
        source.write_bytes(model.SerializeToString())
        write_openvino(source, out, precision, samples)


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
