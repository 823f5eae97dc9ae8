"""Export a model by the tool, predict with its file, and read the proof."""

import json

import pytest
from helpers.exported_models import FAMILIES, photo, small_predictor
from PIL import Image

from mmproscale.inference.predictor import Predictor

INT8 = ["--precision", "int8", "--calibrate"]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, size in enumerate([(140, 190), (141, 191), (80, 300)]):
        Image.fromarray(photo(*size, seed)).save(folder / f"{seed}.png")
    return folder


def options_of(family):
    config, changes = FAMILIES[family]
    options = [f"model.{key}={value}" for key, value in changes.items()]
    return config, [*options, "model.test_cfg.object_mask_thr=0.0", "model.test_cfg.iou_thr=0.0"]


def test_export_prove_and_predict(run_tool, images, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    predictor = small_predictor("RT", tmp_path)
    config, options = options_of("RT")
    out, checkpoint = tmp_path / "model.onnx", tmp_path / "model.pth"
    command = ["export.py", config, checkpoint, "--out", out, "--images", images]
    status, text, error = run_tool(*command, "--cfg-options", *options)
    assert status == 0, error
    assert "compared on 2 images, 1 were not taken" in text and "equal pixels: 100.0000%" in text
    report = json.loads((tmp_path / "model.onnx.proof.json").read_text())
    assert report["difference"]["mask_logits"] < 1e-2 and report["equal"] >= 0.999
    again = run_tool(*command, "--cfg-options", *options)
    assert again[0] == 2 and "model.onnx exists: give another name, or --overwrite" in again[2]

    status, text, error = run_tool("predict.py", out, images / "0.png", "--out", tmp_path / "r")
    assert status == 0 and "1 of 1 images" in text, error
    found = json.loads((tmp_path / "r" / "panoptic.json").read_text())
    (annotation,) = found["annotations"]
    expected = predictor(images / "0.png")
    areas = sorted(segment.area for segment in expected.segments)
    assert sorted(s["area"] for s in annotation["segments_info"]) == areas
    wrong = run_tool("predict.py", out, images, "--out", tmp_path / "r2")
    assert wrong[0] == 3 and "takes images of 96x128 pixels" in wrong[2]
    with_options = run_tool("predict.py", out, images, "--out", "r3", "--cfg-options", "a=1")
    assert with_options[0] == 2 and "is an exported file" in with_options[2]


def test_wrong_options_are_one_line(run_tool, images, tmp_path):
    config, _ = options_of("RT")
    (tmp_path / "weights.pth").touch()
    enough = tmp_path / "enough"
    enough.mkdir()
    for number in range(8):
        (enough / f"{number}.png").touch()
    for arguments, message in (
        (["--out", "a.pth"], "a file for --format onnx ends in .onnx"),
        (["--out", "a.onnx", "--precision", "bf16"], "ONNX Runtime has no bf16 on CPUs"),
        (["--out", "a.onnx", "--precision", "int8"], "--precision int8 needs --calibrate DIR"),
        (["--out", "a.onnx", "--calibrate", images], "no other precision takes it"),
        (["--out", "a.onnx", *INT8, images], f"{images} has 3 images: give at least 8"),
        (["--out", "a.onnx", *INT8, tmp_path / "none"], f"{tmp_path / 'none'}"),
        (["--out", "a.onnx", *INT8, enough], "--format onnx: int8 is for --format openvino"),
        (["--out", "a.onnx", "--dynamic", "--with-preprocessing"], "exclude each other"),
    ):
        status, _, error = run_tool("export.py", config, "weights.pth", *arguments)
        assert status == 2 and message in error and len(error.splitlines()) == 1


def test_the_class_of_an_exported_file_is_checked(tmp_path):
    from mmproscale import Detector
    from mmproscale.errors import InputError
    from mmproscale.export.export_run import ExportOptions, export

    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = tmp_path / "model.onnx"
    export(small_predictor("RT", tmp_path), out, ExportOptions(size=(96, 128)))
    assert Predictor(out).kinds == ("panoptic",)
    with pytest.raises(InputError, match="gives segments: use mmproscale"):
        Detector(out)
