"""Exported files: sizes and batches that they take, and files that are not theirs."""

import sys

import pytest
import torch
from helpers.exported_files import write_tiny

from mmproscale.errors import InputError
from mmproscale.inference.exported_file import ExportedFile


@pytest.mark.slow
def test_a_fixed_file_says_what_it_takes(tmp_path):
    write_tiny(tmp_path / "tiny.onnx", batch=2)
    file = ExportedFile(tmp_path / "tiny.onnx")
    with pytest.raises(InputError) as wrong:
        file(torch.zeros(2, 3, 48, 64))
    assert "takes images of 32x64 pixels (H x W)" in str(wrong.value)
    assert "not 48x64: export with --size 48 64 or --dynamic" in str(wrong.value)
    with pytest.raises(InputError, match="takes 2 images at once, and 3 are given"):
        file(torch.zeros(3, 3, 32, 64))
    assert file.batch == 2


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_a_free_file_takes_any_size_and_batch(suffix, tmp_path):
    graph = write_tiny(tmp_path / f"tiny{suffix}", free=True)
    file = ExportedFile(tmp_path / f"tiny{suffix}")
    assert file.batch is None
    for shape in ((1, 3, 97, 201), (3, 3, 128, 96)):
        images = torch.randn(shape)
        with torch.no_grad():
            expected, _ = graph(images)
        assert (file(images)[0] - expected).abs().max() < 1e-5


def test_missing_and_broken_files_are_one_line(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match="not found: name a file that `mmproscale export` wrote"):
        ExportedFile(tmp_path / "a.onnx")
    (tmp_path / "a.onnx").write_bytes(b"not a graph")
    with pytest.raises(InputError, match=r"a.onnx can't be read \(.*export the model again") as one:
        ExportedFile(tmp_path / "a.onnx")
    assert "\n" not in str(one.value)


@pytest.mark.parametrize("suffix, package", [(".onnx", "onnxruntime"), (".xml", "openvino")])
def test_a_missing_package_is_named(suffix, package, tmp_path, monkeypatch):
    (tmp_path / f"a{suffix}").touch()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package} is not installed.*pip install onnx"):
        ExportedFile(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_a_device_that_is_not_there_is_one_line(suffix, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    (tmp_path / f"a{suffix}").touch()
    with pytest.raises(InputError, match="device 'cuda:7'"):
        ExportedFile(tmp_path / f"a{suffix}", "cuda:7")
