"""Export of a predictor's model to one file, or for a gate to one for each exit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.export.formats import SUFFIXES, check_choice, free_axes, trace, write
from mmproscale.export.fused import Preprocessing, Whole, fusion_of
from mmproscale.export.graph import ExitGraph, GateGraph, early_exits, graph_of, traceable
from mmproscale.export.int8 import fit
from mmproscale.inference.export_info import ExportInfo, settings_of
from mmproscale.inference.exported_model import exit_path
from mmproscale.inference.image_sources import InputImage, read_image
from mmproscale.inference.predictor import Predictor
from mmproscale.models.fusion.image_frame import ImageFrame

Size = tuple[int, int]


@dataclass(frozen=True)
class ExportOptions:
    """Form of an exported file.

    Args:
        format: ``'onnx'``, ``'openvino'`` or ``'torch'``.
        precision: ``'fp32'``, ``'fp16'``, ``'bf16'`` or ``'int8'``.
        size: (H, W) of the network's images, or of photos; None if ``dynamic``.
        batch: Number of images.
        dynamic: True for a free batch and free sizes.
        fusion: True for results, False for logits.
        preprocessing: True for photos, False for normalised and padded images.
        plugin: True for TensorRT's plugin instead of plain operators.

    Raises:
        InputError: The choices do not fit together, or a package is missing.
    """

    format: str = "onnx"
    precision: str = "fp32"
    size: Size | None = None
    batch: int = 1
    dynamic: bool = False
    fusion: bool = False
    preprocessing: bool = False
    plugin: bool = False

    def __post_init__(self) -> None:
        check_choice(self.format, self.precision, self.plugin)
        if self.dynamic and (self.preprocessing or self.plugin):
            other = "with-preprocessing" if self.preprocessing else "msda plugin"
            raise InputError(f"--dynamic and --{other} exclude each other: give --size H W")


def check_out(out: Path, format: str, overwrite: bool) -> None:
    """Check the name of the file to write.

    Raises:
        InputError: It has not the format's suffix, or exists.
    """
    if out.suffix != SUFFIXES[format]:
        raise InputError(f"--out {out}: a file for --format {format} ends in {SUFFIXES[format]}")
    if out.exists() and not overwrite:
        raise InputError(f"--out {out} exists: give another name, or --overwrite")


def export(
    predictor: Predictor, out: Path, options: ExportOptions, images: Sequence[InputImage] = ()
) -> list[Path]:
    """Write a model as one file; one with a gate as the gate's file and one for each exit.

    Args:
        predictor: The model in PyTorch, on the CPU.
        out: The file.
        options: Its form.
        images: Images that calibrate an int8 file, see
            :func:`~mmproscale.export.int8.calibration_images`.

    Returns:
        The files, that to open first.

    Raises:
        InputError: The model can't be exported with these options; a file can't be written; an
            image can't be read.
    """
    graph, part = graph_of(predictor.model), early_exits(predictor.model)
    gated = part is not None and part.gate_chooses
    if gated and options.dynamic:
        raise InputError(
            "--dynamic: a model with a gate is exported with a free batch but a fixed size: give "
            "--size H W, or force an exit by --cfg-options"
        )
    frame = _frame(predictor, options)
    before = (
        Preprocessing(predictor.model.data_preprocessor, frame) if options.preprocessing else None
    )
    fused_frame = None if options.dynamic else frame
    after = fusion_of(predictor.model, predictor.kinds[0], fused_frame) if options.fusion else None
    info = _info(predictor, options, frame)
    example = _example(options, frame, free_batch=options.dynamic or gated)
    calibration = partial(_samples, predictor, options, frame, images)
    step = _step(predictor.model)
    with traceable(predictor.model, options.plugin):
        if not gated:
            free = free_axes(step) if options.dynamic else None
            whole = Whole(graph, before, after)
            _write(whole, [example], free, out, info, options, calibration)
            return [out]
        assert part is not None
        free = free_axes(step, batch_only=True)

        def maps_of(inputs: Tensor) -> Sequence[Tensor]:
            return predictor.model.extract_feat(inputs if before is None else before(inputs))

        def maps_of_samples() -> Iterator[Sequence[Tensor]]:
            return (maps_of(inputs) for (inputs,) in calibration())

        maps = list(maps_of(example))
        gate = Whole(GateGraph(graph, len(maps)), before, None)
        _write(gate, [example], free, out, replace(info, exits=part.exits), options, calibration)
        files = [out]
        for exit_ in part.exits:
            files.append(exit_path(out, exit_))
            rest = Whole(ExitGraph(graph, len(maps)), None, after)
            part.exit = exit_
            try:
                described = replace(info, photos=False)
                _write(rest, maps, free, files[-1], described, options, maps_of_samples)
            finally:
                part.exit = None
    return files


def _write(
    graph: Any,
    examples: Sequence[Tensor],
    free: dict | None,
    out: Path,
    info: ExportInfo,
    options: ExportOptions,
    samples: Callable[[], Iterable[Sequence[Tensor]]],
) -> None:
    precision = options.precision if options.format == "torch" else "fp32"
    program = trace(graph, examples, free, precision)
    names = graph.inputs, graph.outputs
    write(program, out, names, info.to_strings(), options.precision, samples())


def _samples(
    predictor: Predictor, options: ExportOptions, frame: ImageFrame, images: Sequence[InputImage]
) -> Iterator[tuple[Tensor]]:
    """Yield the network's input for each image, in the size and number that the file takes."""
    for image in images:
        if options.preprocessing:
            rgb = np.ascontiguousarray(read_image(image)[..., ::-1])
            photo = fit(torch.from_numpy(rgb).permute(2, 0, 1)[None], frame.output)
            inputs = photo.permute(0, 2, 3, 1).round().byte()
        else:
            inputs = network_input(predictor, image)
            inputs = inputs if options.dynamic else fit(inputs, frame.padded)
        yield (inputs.repeat(options.batch, 1, 1, 1),)


def network_input(predictor: Predictor, image: InputImage) -> Tensor:
    """Return the network's input (1, 3, H, W) for an image."""
    loaded = replace(image, pixels=read_image(image))
    item = predictor.prepare(loaded)
    batch = {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
    return predictor.model.data_preprocessor(batch, False)["inputs"]


def _frame(predictor: Predictor, options: ExportOptions) -> ImageFrame:
    """Return the sizes of padded image, image and results.

    Raises:
        InputError: There is no size, or the preprocessor would pad it.
    """
    if options.preprocessing:
        if options.size is None:
            raise InputError("--with-preprocessing needs --size H W, the size of the photos")
        return frame_of_photo(predictor, options.size)
    step = _step(predictor.model)
    if options.dynamic:
        height, width = (step * -(-side // step) for side in (160, 224))
        return ImageFrame((height, width), (height, width), (height, width))
    if options.size is None:
        raise InputError("give --size H W, the size of the images after the test pipeline")
    if any(side < 1 or side % step for side in options.size):
        raise InputError(
            f"--size {options.size[0]} {options.size[1]}: the model's preprocessor pads images to "
            f"multiples of {step} pixels, so give such a size"
        )
    return ImageFrame(options.size, options.size, options.size)


def size_after_pipeline(
    predictor: Predictor, options: ExportOptions, images: Sequence[InputImage]
) -> ExportOptions:
    """Return the options with the size of the first image, if they name none and need one."""
    if options.dynamic or options.size is not None or not images:
        return options
    photo = read_image(images[0]).shape[:2]
    size = photo if options.preprocessing else frame_of_photo(predictor, photo).padded
    return replace(options, size=(size[0], size[1]))


def frame_of_photo(predictor: Predictor, size: Size) -> ImageFrame:
    """Return the sizes that a photo of a size (H, W) has after the test pipeline and padding."""
    item = predictor.prepare(InputImage("photo", pixels=np.zeros((*size, 3), np.uint8)))
    batch = {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
    padded = predictor.model.data_preprocessor(batch, False)["inputs"].shape[-2:]
    image = item["data_samples"].metainfo["img_shape"][:2]
    return ImageFrame((padded[0], padded[1]), (image[0], image[1]), size)


def _example(options: ExportOptions, frame: ImageFrame, free_batch: bool) -> Tensor:
    batch = 2 if free_batch else options.batch
    generator = torch.Generator().manual_seed(0)
    if options.preprocessing:
        shape = (batch, *frame.output, 3)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return torch.randn(batch, 3, *frame.padded, generator=generator)


def _step(model: nn.Module) -> int:
    """Return the number whose multiples the preprocessor pads the images' sides to."""
    preprocessor = model.data_preprocessor
    for name in ("pad_size_divisor", "size_divisor"):
        if step := getattr(preprocessor, name, None):
            return int(step)
    return 1


def _info(predictor: Predictor, options: ExportOptions, frame: ImageFrame) -> ExportInfo:
    return ExportInfo(
        config=Path(predictor.config.filename or "config").stem,
        kind=predictor.kinds[0],
        precision=options.precision,
        fused=options.fusion,
        photos=options.preprocessing,
        categories=predictor.categories,
        settings=settings_of(predictor.config, options.preprocessing),
        frame=(frame.padded, frame.image) if options.preprocessing else (),
    )
