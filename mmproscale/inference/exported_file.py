"""Exported file that ONNX Runtime or OpenVINO runs, with the checks of what it can take."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.inference.export_info import ExportInfo

Shape = tuple[int | None, ...]
"""Sizes of an input; None for a free one."""

PRECISION_KEY = "mmproscale.precision"
"""Key of the metadata with the precision in which a file was written."""

HINTS = {"fp16": "f16", "bf16": "bf16", "int8": "bf16"}
"""OpenVINO's type for what is not quantised, by a file's precision; fp32 for others.

Without a hint OpenVINO computes every file in bf16 where the processor has it.
"""


@dataclass(frozen=True)
class Session:
    """Loaded graph.

    Args:
        metadata: Texts by key.
        shapes: Shape of each input.
        run: Function of arrays that returns the outputs in the graph's order.
    """

    metadata: Mapping[str, str]
    shapes: Sequence[Shape]
    run: Callable[..., Sequence[np.ndarray]]


class ExportedFile:
    """File of ``mmproscale export``: call it with a batch of images.

    It runs with PyTorch's number of threads.

    Args:
        path: The ``.onnx`` file, OpenVINO's ``.xml``, or torch.export's ``.pt2``; the latter only
            from a source that you trust, since PyTorch evaluates expressions in it.
        device: ``cpu`` or ``cuda``; the latter needs ONNX Runtime's build for it.

    Raises:
        InputError: The file can't be read or was not written by this package; what runs it is not
            installed, or not for this device.
    """

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"{path} not found: name a file that `mmproscale export` wrote")
        self._session = open_session(self.path, device)
        self.info = ExportInfo.from_strings(self._session.metadata, path)

    @property
    def batch(self) -> int | None:
        """Number of images that the file takes at once; None if it is free."""
        return self._session.shapes[0][0]

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for inputs with the same batch size.

        A file of a fixed batch size takes a multiple of it in turns.

        Raises:
            InputError: The file can't take this size or batch.
        """
        self._check(inputs[0].shape)
        step = self.batch or len(inputs[0])
        parts = []
        for start in range(0, len(inputs[0]), step):
            arrays = [tensor[start : start + step].cpu().numpy() for tensor in inputs]
            parts.append([torch.from_numpy(array) for array in self._session.run(*arrays)])
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))

    def _check(self, given: Sequence[int]) -> None:
        batch, *sizes = self._session.shapes[0]
        rows = slice(0, 2) if self.info.photos else slice(1, 3)
        wanted, found = tuple(sizes)[rows], tuple(given[1:])[rows]
        if any(want not in (None, have) for want, have in zip(wanted, found, strict=True)):
            size = "{}x{}".format(*("any" if want is None else want for want in wanted))
            raise InputError(
                f"{self.path} takes images of {size} pixels (H x W) after the test pipeline, not "
                f"{found[0]}x{found[1]}: export with --size {found[0]} {found[1]} or --dynamic"
            )
        if batch is not None and given[0] % batch:
            raise InputError(
                f"{self.path} takes {batch} images at once, and {given[0]} are given: predict a "
                f"multiple of {batch}, or export with --batch 1 or --dynamic"
            )


def open_session(path: Path, device: str = "cpu") -> Session:
    """Load the graph of a file with one of the suffixes of :class:`ExportedFile`.

    Raises:
        InputError: As :class:`ExportedFile`, but for a file that another program wrote.
    """
    return _SESSIONS[path.suffix](path, device)


def needs(package: str) -> ModuleType:
    """Import a package of the extra.

    Raises:
        InputError: It is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        more = " nncf" if package == "nncf" else ""
        raise InputError(
            f"{package} is not installed ({error}): "
            f"pip install onnx onnxscript onnxruntime openvino{more}"
        ) from error


def _open_onnx(path: Path, device: str) -> Session:
    runtime = needs("onnxruntime")
    providers = ["CPUExecutionProvider"]
    if device != "cpu":
        providers.insert(0, "CUDAExecutionProvider")
        if providers[0] not in runtime.get_available_providers():
            raise InputError(
                f"device '{device}': this ONNX Runtime is for CPUs, so use cpu or install "
                "onnxruntime-gpu"
            )
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = _opened(path, lambda: runtime.InferenceSession(path, options, providers=providers))
    names = [given.name for given in session.get_inputs()]
    shapes = [
        tuple(size if isinstance(size, int) else None for size in given.shape)
        for given in session.get_inputs()
    ]
    metadata = session.get_modelmeta().custom_metadata_map
    return Session(
        metadata, shapes, lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))
    )


def _open_openvino(path: Path, device: str) -> Session:
    openvino = needs("openvino")
    if device != "cpu":
        raise InputError(f"device '{device}': OpenVINO files run on the CPU here, so use cpu")
    model = _opened(path, lambda: openvino.Core().read_model(path))
    places = {key: ["mmproscale", key] for key in ExportInfo.metadata_keys()}
    metadata = {
        key: model.get_rt_info(place).astype(str)
        for key, place in places.items()
        if model.has_rt_info(place)
    }
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS.get(metadata.get(PRECISION_KEY, ""), "f32"),
        "INFERENCE_NUM_THREADS": str(torch.get_num_threads()),
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    shapes = [
        tuple(None if size.is_dynamic else size.get_length() for size in given.partial_shape)
        for given in compiled.inputs
    ]
    return Session(metadata, shapes, lambda *arrays: [*compiled(list(arrays)).values()])


def _open_torch(path: Path, device: str) -> Session:
    extra = {"mmproscale.json": ""}
    program = _opened(path, lambda: torch.export.load(path, extra_files=extra))
    module = program.module()
    shapes = [
        tuple(size if isinstance(size, int) else None for size in node.meta["val"].shape)
        for node in program.graph.nodes
        if node.name in program.graph_signature.user_inputs
    ]

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            outputs = module(*map(torch.from_numpy, arrays))
        return [out.numpy() for out in outputs]

    return Session(json.loads(extra["mmproscale.json"]), shapes, run)


def _opened(path: Path, open_file: Callable[[], Any]) -> Any:
    try:
        return open_file()
    except Exception as error:  # ONNX Runtime and OpenVINO have a dozen classes of errors
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{path} can't be read ({said}): export the model again") from error


_SESSIONS: dict[str, Callable[[Path, str], Session]] = {
    ".onnx": _open_onnx,
    ".xml": _open_openvino,
    ".pt2": _open_torch,
}
