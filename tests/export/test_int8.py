"""Int8 files: what is quantised, images that calibrate, and files that open and predict."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.exported_files import write_tiny
from helpers.exported_models import photo, small_predictor
from PIL import Image

from mmproscale.errors import InputError
from mmproscale.export.export_run import ExportOptions, export
from mmproscale.export.int8 import (
    MOST_IMAGES,
    SCOPES,
    calibration_images,
    fit,
    sensitive_nodes,
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


def constants_in_int8(path):
    """Constants in int8 of an OpenVINO file."""
    core = pytest.importorskip("openvino").Core()
    nodes = [n for n in core.read_model(path).get_ops() if n.get_type_name() == "Constant"]
    kinds = ("i8", "u8")
    return [n.data for n in nodes if n.get_output_element_type(0).get_type_name() in kinds]


@pytest.mark.slow
def test_products_of_weights_are_quantised(tmp_path):
    write_tiny(tmp_path / "tiny.xml", precision="int8")
    weights = constants_in_int8(tmp_path / "tiny.xml")
    assert len(weights) >= 3
    assert max(np.abs(w.astype(int)).max() for w in weights) <= 64, "CPUs without VNNI clip"
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.xml", "tiny.bin"}


@pytest.mark.slow
@pytest.mark.parametrize("family", ["PRO-SCALE", "DINO"])
def test_a_model_in_int8_opens_predicts_and_is_proved(family, folder):
    pytest.importorskip("nncf")
    predictor, out = small_predictor(family, folder), folder / "out" / "model.xml"
    options = ExportOptions("openvino", precision="int8", size=(96, 128))
    export(predictor, out, options, calibration_images(str(folder), "int8"))
    found = Predictor(ExportedFile(out))
    assert found.model.network.file.info.precision == "int8" and len(constants_in_int8(out)) > 20
    with pytest.raises(InputError, match=r"precision bf16: .* is an exported file in int8"):
        Predictor(ExportedFile(out), precision="bf16")
    images = [InputImage("one", pixels=np.ascontiguousarray(photo(96, 128)[..., ::-1]))]
    report = prove(predictor, found, images)
    assert report["refused"] == 0
    if family == "PRO-SCALE":
        assert report["flipped_mask_logits"] < 0.1


@pytest.mark.slow
def test_photos_and_exits_calibrate(folder):
    pytest.importorskip("nncf")
    predictor = small_predictor("ECO", folder, **{"panoptic_head.pixel_decoder.exits": (2, 4)})
    options = ExportOptions("openvino", precision="int8", size=(90, 120), preprocessing=True)
    images = calibration_images(str(folder), "int8")
    files = export(predictor, folder / "model.xml", options, images)
    assert len(files) == 3 and all(constants_in_int8(file) for file in files)
    result = Predictor(folder / "model.xml")(photo(90, 120))
    assert result.panoptic.shape == (90, 120)


def test_nodes_of_masks_boxes_and_gates_are_found():
    def node(name, scope):
        return SimpleNamespace(name=name, metadata_props=[SimpleNamespace(key=SCOPES, value=scope)])

    nodes = [node("a", "['model.bbox_head.reg_branches.0']"), node("b", "['model.encoder']")]
    nodes += [node("c", "['decoder.exit_gate']"), node("e", "['decoder', 'baddbmm_2']")]
    nodes += [SimpleNamespace(name="d", metadata_props=[])]
    assert sensitive_nodes(SimpleNamespace(graph=SimpleNamespace(node=nodes))) == ["a", "c", "e"]


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


@pytest.mark.slow
def test_an_unreadable_image_is_named_and_no_file_stays(folder):
    for package in ("onnxscript", "openvino", "nncf"):
        pytest.importorskip(package)
    predictor = small_predictor("RT", folder)
    (folder / "3.png").write_bytes(b"no image")
    options = ExportOptions("openvino", precision="int8", size=(96, 128))
    with pytest.raises(InputError, match=r"3\.png"):
        export(predictor, folder / "a.xml", options, calibration_images(str(folder), "int8"))
    assert not [*folder.glob("*.xml*"), *folder.glob("*.bin*")]


def test_nncf_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    for package in ("onnxscript", "openvino"):
        monkeypatch.setitem(sys.modules, package, SimpleNamespace())
    with pytest.raises(InputError, match=r"nncf is not installed.* openvino nncf"):
        ExportOptions("openvino", precision="int8")


def test_images_get_the_files_size():
    images = torch.rand(1, 3, 4, 6)
    assert fit(images, (4, 6)) is images
    assert fit(images, (8, 4)).shape == (1, 3, 8, 4)
