"""tools/benchmark.py at tiny sizes: who runs on what, and what is said of it."""

import json
import shutil
from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.models import DETR, Mask2Former

from mmproscale.ops import attention_backend

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
OURS = CONFIGS / "proscale_m2f_r18_shapes.py"
MASK_PARTS = ["backbone", "pixel decoder", "query decoder, masks", "results", "whole"]
SHORT = ["--rounds", 2, "--warm-up", 1, "--threads", 1, "--no-memory"]
STOCK = """
_base_ = "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py"
channels = dict(depth=18, init_cfg=dict(type="Pretrained", checkpoint="nowhere://resnet18"))
model = dict(
    backbone=channels,
    panoptic_head=dict(
        in_channels=[64, 128, 256, 512],
        num_queries=5,
        pixel_decoder=dict(encoder=dict(num_layers=1)),
        transformer_decoder=dict(num_layers=1),
    ),
)
"""
SMALL_DETR = """
_base_ = "mmdet::detr/detr_r50_8xb2-150e_coco.py"
model = dict(
    backbone=dict(depth=18),
    neck=dict(in_channels=[512]),
    encoder=dict(num_layers=1),
    decoder=dict(num_layers=1),
)
"""


@pytest.fixture(autouse=True)
def same_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def stock(tmp_path):
    (tmp_path / "stock.py").write_text(STOCK)
    return tmp_path / "stock.py"


@pytest.fixture
def detr(tmp_path):
    (tmp_path / "small_detr.py").write_text(SMALL_DETR)
    return tmp_path / "small_detr.py"


@pytest.fixture
def predictions(monkeypatch):
    """Return the shape of the images, and the data samples, of each prediction."""
    seen = []

    def spy_on(model_class):
        predict = model_class.predict

        def spying(model, inputs, samples, rescale=True):
            assert not model.training and not torch.is_grad_enabled()
            seen.append((tuple(inputs.shape), samples))
            return predict(model, inputs, samples, rescale)

        monkeypatch.setattr(model_class, "predict", spying)

    spy_on(Mask2Former)
    spy_on(DETR)
    return seen


def bench(run_tool, *options, short=SHORT):
    """Return the JSON of a run that succeeds."""
    status, out, errors = run_tool("benchmark.py", *options, *short, "--json", "-")
    assert status == 0, errors
    return json.loads(out)


def test_ours_against_stock(run_tool, stock, tmp_path):
    options = [OURS, "--against", stock, "--shape", 64, 64, *SHORT]
    status, shown, errors = run_tool("benchmark.py", *options, "--json", "new/results.json")
    assert status == 0, errors
    results = json.loads((tmp_path / "new/results.json").read_text())
    base, ours = results["candidates"]
    assert (base["name"], ours["name"]) == ("stock", OURS.stem)
    assert list(base["parts"]) == list(ours["parts"]) == MASK_PARTS
    for part in MASK_PARTS:
        assert base["parts"][part]["ratio"]["median"] == 1
        low, high = ours["parts"][part]["ratio"]["quartiles"]
        assert 0 < low <= ours["parts"][part]["ratio"]["median"] <= high
        assert part in shown
    assert results["settings"] == {
        "configs": {"stock": str(stock), OURS.stem: str(OURS)},
        "shape": [64, 64],
        "batch": 1,
        "compile": False,
        "stock_attention": False,
    }
    assert (results["name"], results["rounds"], results["dtype"]) == (
        "64x64, batch 1",
        2,
        "float32",
    )
    assert results["command"] == " ".join(map(str, ["python tools/benchmark.py", *options]))
    assert results["machine"]["threads"] == 1
    assert "peak memory" not in shown and "written to new/results.json" in shown


def test_parts_are_no_more_than_the_whole(run_tool, stock):
    once = ["--rounds", 1, "--warm-up", 1, "--no-memory"]
    results = bench(run_tool, OURS, "--against", stock, "--shape", 64, 64, short=once)
    for candidate in results["candidates"]:
        *parts, whole = (part["ms"]["median"] for part in candidate["parts"].values())
        assert min(parts) > 0
        assert sum(parts) <= whole * (1 + 1e-9)


def test_a_detector_without_a_pixel_decoder(run_tool, detr):
    options = [detr, "--against", OURS, "--shape", 64, 64, *SHORT]
    status, shown, errors = run_tool("benchmark.py", *options)
    assert status == 0, errors
    lines = {line.split("│")[1].strip(): line for line in shown.splitlines() if "│" in line}
    cells = {name: [cell.strip() for cell in line.split("│")[2:4]] for name, line in lines.items()}
    assert cells["pixel decoder"][1] == cells["results"][1] == "-"
    for part in ("encoder", "decoder, boxes"):
        assert cells[part][0] == "-" and "ms" in cells[part][1]
    assert list(lines)[-1] == "whole" and "(" in cells["whole"][1]


def test_models_take_turns_on_the_same_padded_images(run_tool, stock, detr, predictions):
    bench(run_tool, detr, "--against", stock, "--shape", 50, 70, "--batch", 2)
    # Mask2Former's preprocessor pads to 32, DETR's does not pad; who begins moves on.
    padded, plain = (2, 3, 64, 96), (2, 3, 50, 70)
    shapes = [shape for shape, _ in predictions]
    assert shapes == [padded, plain, padded, plain, plain, padded]
    for shape, samples in predictions:
        assert [s.batch_input_shape for s in samples] == [shape[2:]] * 2
        assert [s.img_shape for s in samples] == [s.ori_shape for s in samples] == [(50, 70)] * 2


def test_a_single_config_has_no_ratios_and_mmdets_own_file_will_do(run_tool):
    own = Path(mmdet.__file__).parent / ".mim/configs/detr/detr_r50_8xb2-150e_coco.py"
    once = ["--rounds", 1, "--warm-up", 0, "--no-memory"]
    results = bench(run_tool, own, "--shape", 64, 64, short=once)
    (only,) = results["candidates"]
    assert all(list(part) == ["ms"] for part in only["parts"].values())
    assert list(only["parts"]) == ["backbone", "encoder", "decoder, boxes", "whole"]


def test_the_same_name_twice_is_told_apart(run_tool, stock, tmp_path):
    (tmp_path / "other").mkdir()
    other = shutil.copy(stock, tmp_path / "other")
    results = bench(run_tool, stock, "--against", other, "--shape", 64, 64)
    assert results["settings"]["configs"] == {"stock": str(other), "stock (2)": str(stock)}


def test_whose_attention_stock_modules_use(run_tool, stock, embedding_bags):
    options = [stock, "--shape", 64, 64]
    once = ["--rounds", 1, "--warm-up", 0, "--no-memory"]
    with attention_backend("torch"):
        bench(run_tool, *options, short=once)
        assert len(embedding_bags) == 1  # its one layer
        results = bench(run_tool, *options, "--stock-attention", short=once)
    assert len(embedding_bags) == 1
    assert results["settings"]["stock_attention"] and "stock attention" in results["name"]


def test_half_precision(run_tool, monkeypatch):
    given = []
    monkeypatch.setattr("mmproscale.models.precision.set_precision", lambda *a: given.append(a[1]))
    results = bench(run_tool, OURS, "--shape", 64, 64, "--precision", "bf16")
    assert results["dtype"] == "bfloat16" and given == ["bf16"]


def test_memory_is_asked_of_a_child(run_tool, stock, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "mmproscale.timing.comparison.peak_in_a_child",
        lambda script, given: asked.append((script, given)) or 12.5,
    )
    options = [OURS, "--against", stock, "--shape", 64, 64]
    results = bench(run_tool, *options, short=["--rounds", 1, "--warm-up", 0])
    assert [c["peak_memory_mib"] for c in results["candidates"]] == [12.5] * 2
    assert [given[-3:] for _, given in asked] == [
        ["--memory-of", "0", name] for name in ("stock", OURS.stem)
    ]
    assert all(Path(script).name == "benchmark.py" and "--json" not in g for script, g in asked)


def test_a_child_answers(run_tool):
    status, shown, _ = run_tool(
        "benchmark.py", OURS, "--shape", 256, 256, "--memory-of", 0, OURS.stem
    )
    assert status == 0 and 1 < float(shown.splitlines()[-1]) < 1000


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["none.py"], "config none.py is not a file"),
        (["mmdet::detr/none.py"], "mmdet::detr/none.py is not a file"),
        ([OURS, "--against", "none.py"], "config none.py is not a file"),
        ([OURS, "--device", "cuda"], "--device cuda: PyTorch finds no GPU here"),
        ([OURS, "--compile", "--warm-up", 0], "--warm-up must be at least 1"),
        (
            ["mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py", "--shape", 64, 64, "--no-memory"],
            "can't predict images of 1x3x64x64: RuntimeError: selected index k out of range",
        ),
    ],
)
def test_bad_input_is_one_line(run_tool, monkeypatch, options, line):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, _, errors = run_tool("benchmark.py", *options)
    (error,) = [text for text in errors.splitlines() if text.startswith("error: ")]
    assert status == 2 and line in error and "Traceback" not in errors


@pytest.mark.parametrize(
    ("shape", "message"), [((0, 64), "0 is less than 1"), ((64, "x"), "invalid int value: 'x'")]
)
def test_a_bad_shape_is_named(run_tool, shape, message):
    status, _, errors = run_tool("benchmark.py", OURS, "--shape", *shape)
    assert status == 2 and f"argument --shape: {message}" in errors.splitlines()[-1]


def test_without_a_compiler_it_says_so(run_tool, monkeypatch, tmp_path):
    from torch._inductor import config, cpp_builder

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    cpp_builder.cpp_compiler_search.cache_clear()
    status, _, errors = run_tool("benchmark.py", OURS, "--shape", 64, 64, "--compile", *SHORT)
    cpp_builder.cpp_compiler_search.cache_clear()
    torch.compiler.reset()
    line = errors.splitlines()[-1]
    assert status == 2 and line.startswith("error: --compile: ")
    assert "leave --compile out" in line
