"""Exported models of every family give PyTorch's logits and results."""

import numpy as np
import pytest
import torch
from helpers.exported_models import FAMILIES, photo, small_predictor

from mmproscale.errors import InputError
from mmproscale.export.export_run import (
    ExportOptions,
    check_out,
    export,
    frame_of_photo,
    size_after_pipeline,
)
from mmproscale.export.proof import prove
from mmproscale.inference.exported_file import ExportedFile
from mmproscale.inference.image_sources import InputImage
from mmproscale.inference.predictor import Predictor

SIZES = (140, 190), (141, 191)  # photos of one size after the pipeline, which is no power of two


@pytest.fixture(autouse=True)
def _packages():
    for package in ("onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(package)


def photos():
    return [
        InputImage(f"photo-{seed}", pixels=np.ascontiguousarray(photo(*size, seed)[..., ::-1]))
        for seed, size in enumerate(SIZES)
    ]


def exported(family, folder, suffix=".onnx", **options):
    """PyTorch's predictor, that of the file, and the proof's figures."""
    predictor = small_predictor(family, folder)
    chosen = ExportOptions(**options)
    if not chosen.dynamic and chosen.size is None:
        chosen = size_after_pipeline(predictor, chosen, photos())
    first, *_ = export(predictor, folder / f"model{suffix}", chosen)
    found = Predictor(ExportedFile(first))
    return predictor, found, prove(predictor, found, photos())


def check_figures(report):
    assert report["refused"] == 0 and report["images"] == len(SIZES)
    tolerance = {"class_logits": 1e-3, "mask_logits": 1e-2, "boxes": 1e-3}
    assert report["difference"], "no output was compared"
    for name, difference in report["difference"].items():
        assert difference < tolerance[name], name
    assert report["equal"] >= 0.999


FAST = ["RT", "PRO-SCALE", "DINO"]
OTHERS = [pytest.param(family, marks=pytest.mark.slow) for family in FAMILIES if family not in FAST]


@pytest.mark.parametrize("family", [*FAST, *OTHERS])
def test_logits_and_results_are_pytorchs(family, tmp_path):
    predictor, found, report = exported(family, tmp_path)
    check_figures(report)
    result, expected = (one(photo(*SIZES[0])) for one in (found, predictor))
    assert result.kinds == expected.kinds
    assert [c["name"] for c in found.categories] == [c["name"] for c in predictor.categories]
    if result.segments is not None:
        assert [(s.name, s.area) for s in result.segments] == [
            (s.name, s.area) for s in expected.segments
        ]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["PRO-SCALE", "DINO"])
def test_free_sizes_and_batches(family, tmp_path):
    predictor, found, report = exported(family, tmp_path, dynamic=True)
    check_figures(report)
    sizes = [(140, 190), (203, 101), (96, 300), (140, 190)]
    images = [photo(*size, seed) for seed, size in enumerate(sizes)]
    for ours, theirs in zip(found(images, 4), predictor(images, 4), strict=True):
        if ours.panoptic is not None:
            assert (ours.panoptic == theirs.panoptic).mean() >= 0.999
        else:
            assert np.abs(ours.instances.boxes - theirs.instances.boxes).max() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("format, suffix", [("openvino", ".xml"), ("torch", ".pt2")])
def test_other_formats(format, suffix, tmp_path):
    _, found, report = exported("RT", tmp_path, suffix, format=format, batch=2)
    check_figures(report)
    with pytest.raises(InputError, match="takes 2 images at once, and 1 are given"):
        found(photo(*SIZES[0]))


@pytest.mark.slow
@pytest.mark.parametrize("family, kind", [("RT", "panoptic"), ("DINO", "boxes")])
def test_photos_to_results(family, kind, tmp_path):
    predictor = small_predictor(family, tmp_path)
    options = ExportOptions(size=SIZES[0], preprocessing=True, fusion=True)
    export(predictor, tmp_path / "model.onnx", options)
    found = Predictor(tmp_path / "model.onnx")
    report = prove(predictor, found, photos()[:1])
    assert found.kinds == (kind,) and report["difference"] == {}
    assert report["equal"] > 0.98, "resizing rounds differently, by one of 255 levels"
    with pytest.raises(InputError, match="takes images of 140x190 pixels"):
        found(photo(*SIZES[1]))
    with pytest.raises(InputError, match=f"gives only {kind} results"):
        Predictor(tmp_path / "model.onnx", kinds=["semantic"])


@pytest.mark.slow
def test_photos_to_logits(tmp_path):
    predictor = small_predictor("RT", tmp_path)
    options = ExportOptions(size=SIZES[0], preprocessing=True)
    export(predictor, tmp_path / "model.onnx", options)
    report = prove(predictor, Predictor(tmp_path / "model.onnx"), photos()[:1])
    assert report["equal"] > 0.98


@pytest.mark.slow
def test_a_gate_chooses_in_the_file_too(tmp_path):
    predictor = small_predictor("ECO", tmp_path)
    gate = predictor._early_exits().exit_gate
    torch.nn.init.normal_(gate.linear.weight, std=20.0)
    options = size_after_pipeline(predictor, ExportOptions(), photos())
    files = export(predictor, tmp_path / "model.onnx", options)
    names = ["model.onnx", *(f"model.exit{k}.onnx" for k in predictor._early_exits().exits)]
    assert [file.name for file in files] == names
    found = Predictor(tmp_path / "model.onnx")
    images = [photo(*SIZES[0], seed) for seed in range(6)]
    for ours, theirs in zip(found(images, 6), predictor(images, 6), strict=True):
        assert (ours.panoptic == theirs.panoptic).mean() >= 0.999
    found.exit = predictor.exit = 2
    ours, theirs = (one(images[0]) for one in (found, predictor))
    assert (ours.panoptic == theirs.panoptic).mean() >= 0.999
    (tmp_path / "model.exit4.onnx").unlink()
    found = Predictor(tmp_path / "model.onnx")
    found.exit = 4
    with pytest.raises(InputError, match=r"model\.exit4\.onnx not found"):
        found(images[0])


@pytest.mark.parametrize("options, message", [
    ({}, "give --size H W"),
    ({"size": (75, 101)}, "multiples of 32 pixels"),
    ({"preprocessing": True}, "--with-preprocessing needs --size H W"),
])  # fmt: skip
def test_sizes_that_do_not_fit_are_one_line(options, message, tmp_path):
    predictor = small_predictor("RT", tmp_path)
    with pytest.raises(InputError, match=message):
        export(predictor, tmp_path / "model.onnx", ExportOptions(**options))


def test_choices_that_exclude_each_other(tmp_path):
    for other in ("preprocessing", "plugin"):
        with pytest.raises(InputError, match="exclude each other: give --size"):
            ExportOptions(dynamic=True, **{other: True})
    with pytest.raises(InputError, match="fixed size"):
        export(small_predictor("ECO", tmp_path), tmp_path / "a.onnx", ExportOptions(dynamic=True))
    with pytest.raises(InputError, match=r"ends in \.xml"):
        check_out(tmp_path / "a.onnx", "openvino", overwrite=False)
    (tmp_path / "a.onnx").touch()
    with pytest.raises(InputError, match="exists: give another name, or --overwrite"):
        check_out(tmp_path / "a.onnx", "onnx", overwrite=False)
    check_out(tmp_path / "a.onnx", "onnx", overwrite=True)


def test_a_photos_frame_is_that_of_the_pipeline(tmp_path):
    frame = frame_of_photo(small_predictor("RT", tmp_path), (140, 190))
    assert frame.output == (140, 190) and frame.image == (94, 128) and frame.padded == (96, 128)
