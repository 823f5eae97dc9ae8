"""Int8 files: what is quantised, images that calibrate, and files that open and predict."""

import numpy as np
import pytest
import torch
from helpers.exported_files import write_tiny
from helpers.exported_models import photo, small_predictor
from PIL import Image

from mmproscale.errors import InputError
from mmproscale.export.export_run import ExportOptions, export
from mmproscale.export.int8 import (
    IN_FP32,
    MASKS,
    MOST_IMAGES,
    POINTS,
    SCOPES,
    calibration_images,
    fit,
)
from mmproscale.export.proof import prove
from mmproscale.inference.exported_file import ExportedFile
from mmproscale.inference.image_sources import InputImage
from mmproscale.inference.predictor import Predictor


@pytest.fixture
def folder(tmp_path):
    """Folder of eight photos."""
    for seed in range(8):
        Image.fromarray(photo(96, 128, seed)).save(tmp_path / f"{seed}.png")
    return tmp_path


def quantised(path):
    """Products of an ONNX file: those whose inputs are dequantised, and the others, by scope."""
    graph = pytest.importorskip("onnx").load(path).graph
    sources = {node.output[0]: node.op_type for node in graph.node}
    parts = {True: [], False: []}
    for node in graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            scope = next((p.value for p in node.metadata_props if p.key == SCOPES), "")
            kinds = {sources.get(name) for name in node.input[:2]}
            parts[kinds == {"DequantizeLinear"}].append(scope)
    return parts


@pytest.mark.slow
def test_products_of_weights_are_quantised(tmp_path):
    write_tiny(tmp_path / "tiny.onnx", free=True, precision="int8")
    parts = quantised(tmp_path / "tiny.onnx")
    assert len(parts[True]) == 3 and not parts[False]
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.onnx"}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_a_model_in_int8_opens_predicts_and_is_proved(suffix, folder):
    predictor, out = small_predictor("PRO-SCALE", folder), folder / "out" / f"model{suffix}"
    kind = {".onnx": "onnx", ".xml": "openvino"}[suffix]
    options = ExportOptions(kind, precision="int8", size=(96, 128))
    export(predictor, out, options, calibration_images(str(folder), "int8"))
    found = Predictor(ExportedFile(out))
    assert found.model.network.file.info.precision == "int8"
    with pytest.raises(InputError, match=r"precision bf16: .* is an exported file in int8"):
        Predictor(ExportedFile(out), precision="bf16")
    images = [InputImage("one", pixels=np.ascontiguousarray(photo(96, 128)[..., ::-1]))]
    report = prove(predictor, found, images)
    assert report["refused"] == 0 and report["flipped_mask_logits"] < 0.2
    if suffix == ".onnx":
        parts = quantised(out)
        assert len(parts[True]) > 30
        assert not any(name in scope for scope in parts[True] for name in IN_FP32)
        kept = {name for name in IN_FP32 for scope in parts[False] if name in scope}
        assert kept == {*POINTS, *MASKS}


@pytest.mark.slow
def test_photos_and_exits_calibrate(folder):
    predictor = small_predictor("ECO", folder, **{"panoptic_head.pixel_decoder.exits": (2, 4)})
    options = ExportOptions(precision="int8", size=(90, 120), preprocessing=True)
    images = calibration_images(str(folder), "int8")
    files = export(predictor, folder / "model.onnx", options, images)
    assert len(files) == 3 and all(quantised(file)[True] for file in files)
    result = Predictor(folder / "model.onnx")(photo(90, 120))
    assert result.panoptic.shape == (90, 120)


def test_images_are_chosen_evenly_and_must_be_enough(folder):
    assert [i.name for i in calibration_images(str(folder), "int8")] == [*"01234567"]
    for number in range(200):
        (folder / f"more-{number:03}.png").touch()
    chosen = [image.name for image in calibration_images(str(folder), "int8")]
    assert len(chosen) == MOST_IMAGES and chosen[0] == "0" and chosen[-1] > "more-190"
    assert calibration_images(None, "fp32") == []
    (folder / "few").mkdir()
    with pytest.raises(InputError, match="few"):
        calibration_images(str(folder / "few"), "int8")


def test_an_unreadable_image_is_named_and_no_file_stays(folder):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    predictor = small_predictor("RT", folder)
    (folder / "3.png").write_bytes(b"no image")
    options = ExportOptions(precision="int8", size=(96, 128))
    with pytest.raises(InputError, match=r"3\.png"):
        export(predictor, folder / "a.onnx", options, calibration_images(str(folder), "int8"))
    assert not list(folder.glob("*.onnx*"))


def test_images_get_the_files_size():
    images = torch.rand(1, 3, 4, 6)
    assert fit(images, (4, 6)) is images
    assert fit(images, (8, 4)).shape == (1, 3, 8, 4)
