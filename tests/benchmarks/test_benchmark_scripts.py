"""Each benchmark at a tiny size: its options, its JSON, its table."""

import json
from functools import partial

import pytest
import torch
from common import benchmark

from mmproscale.ops import attention_backend, embedding_bag_attention

ATTENTION = ["--maps", "2x3", "4x4", "--head-dim", 4]
INFERENCE = ["--configs", "m2f_r18_shapes", "proscale_m2f_r18_shapes", "--size", 64, 64]
TRAINING = ["--size", 64, 64, "--batch", 2, "--queries", 6, "--decoder-layers", 1, "--points", 50]
SHORT = ["--rounds", 2, "--warm-up", 0, "--threads", 1, "--no-memory"]
MMCV = "mmcv's fallback"


def check_fields(results, name, options):
    assert results["benchmark"] == name
    assert results["command"] == " ".join(map(str, ["python", f"benchmarks/{name}.py", *options]))
    assert set(results["machine"]) == {"cpu", "cores", "threads", "gpu"}
    assert results["machine"]["threads"] == 1 and results["machine"]["cores"] >= 1
    assert results["torch"] == torch.__version__
    assert results["mmcv"] and results["mmdet"] and results["title"]
    assert (results["device"], results["dtype"]) == ("cpu", "float32")
    assert len(results["date"].split("-")) == 3
    for case in results["cases"]:
        assert case["rounds"] == 2
        for index, candidate in enumerate(case["candidates"]):
            for part in candidate["parts"].values():
                for spread in (part["ms"], part["ratio"]):
                    low, high = spread["quartiles"]
                    assert low <= spread["median"] <= high
                assert part["ms"]["median"] > 0
                assert index or part["ratio"]["median"] == 1


@pytest.mark.parametrize(
    ("name", "options", "candidates", "parts"),
    [
        (
            "attention",
            [*ATTENTION, *SHORT],
            [MMCV, "automatic", "torch", "grid_sample"],
            ["forward", "forward + backward"],
        ),
        ("attention", [*ATTENTION, "--queries", 5, "--batch", 2, *SHORT], None, None),
        (
            "inference",
            [*INFERENCE, *SHORT],
            ["mmdet", "m2f_r18_shapes", "proscale_m2f_r18_shapes"],
            ["backbone", "pixel decoder", "query decoder, masks", "results", "whole"],
        ),
        (
            "training_step",
            [*TRAINING, *SHORT],
            ["mmdet", "mmproscale"],
            [
                "backbone",
                "pixel decoder",
                "query decoder",
                "matching, losses",
                "backward",
                "optimiser",
                "whole",
            ],
        ),
    ],
    ids=["attention", "attention_with_queries", "inference", "training_step"],
)
def test_measures_and_writes(run_script, tmp_path, name, options, candidates, parts):
    out = tmp_path / "new" / "results.json"
    status, shown, errors = run_script(name, *options, "--out", out)
    assert status == 0, errors
    results = json.loads(out.read_text())
    check_fields(results, name, options)
    (case,) = results["cases"]
    assert case["name"] in shown.replace("\n", " ") and str(out.name) in shown
    assert candidates is None or [c["name"] for c in case["candidates"]] == candidates
    for candidate in case["candidates"]:
        measured = candidate["parts"]
        assert parts is None or list(measured) == parts
        if "whole" in measured:
            whole = measured.pop("whole")["ms"]["median"]
            # What is between the parts is next to nothing.
            assert (
                0.5 * whole < sum(part["ms"]["median"] for part in measured.values()) < 1.5 * whole
            )


@pytest.mark.parametrize(
    ("name", "options", "cases"),
    [
        ("fusion", ["--size", 64, 96, "--queries", 12, "--kept", 5], 2),
        ("mask_decoder", ["--size", 64, 96], 1),
    ],
)
def test_parts_of_a_model_by_themselves(run_script, tmp_path, name, options, cases):
    out = tmp_path / "results.json"
    status, _, errors = run_script(name, *options, *SHORT, "--out", out)
    assert status == 0, errors
    measured = json.loads(out.read_text())["cases"]
    assert len(measured) == cases
    for case in measured:
        assert [c["name"] for c in case["candidates"]] == ["mmdet", "mmproscale"]
        assert all(c["parts"]["whole"]["ms"]["median"] > 0 for c in case["candidates"])


@pytest.mark.slow
def test_compiled_graphs(run_script, tmp_path, monkeypatch):
    # Code for the processor takes minutes to compile; the graph is the same without it.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    name, out = "proscale_m2f_r18_shapes", tmp_path / "results.json"
    options = ["--configs", name, "--size", 64, 96, *SHORT]
    status, _, errors = run_script("compiled", *options, "--out", out)
    assert status == 0, errors
    (case,) = json.loads(out.read_text())["cases"]
    eager, compiled = case["candidates"]
    assert (eager["name"], compiled["name"]) == (name, f"{name}, compiled")
    assert list(compiled["parts"]) == ["whole", "first call"]
    times = {part: one["ms"]["median"] for part, one in compiled["parts"].items()}
    assert times["first call"] > 2 * times["whole"]


def test_encoders_of_detectors(run_script, tmp_path):
    names = ["dino_r18_shapes", "proscale_dino_r18_shapes"]
    options = ["--configs", *names, "--size", 64, 96, *SHORT]
    out = tmp_path / "results.json"
    status, _, errors = run_script("detection_encoder", *options, "--out", out)
    assert status == 0, errors
    results = json.loads(out.read_text())
    check_fields(results, "detection_encoder", options)
    (case,) = results["cases"]
    assert [c["name"] for c in case["candidates"]] == ["mmdet", "mmdet, our attention", *names]
    status, _, errors = run_script("detection_encoder", "--configs", names[1], "--no-memory")
    assert status == 2 and "name a dino_*" in errors


def test_prototypes_against_masked_attention(run_script, tmp_path):
    options = ["--size", 128, 128, "--queries", 5, *SHORT]
    out = tmp_path / "results.json"
    status, _, errors = run_script("prototype_attention", *options, "--out", out)
    assert status == 0, errors
    results = json.loads(out.read_text())
    check_fields(results, "prototype_attention", options)
    assert len(results["cases"]) == 7
    for case in results["cases"]:
        names = [c["name"] for c in case["candidates"]]
        assert names == ["mmdet", "masked attention", "prototypes"]
        assert all(c["parts"]["whole"]["ms"]["median"] > 0 for c in case["candidates"])


def test_panoptic_quality_of_maps_and_files(run_script, tmp_path):
    options = ["--size", 32, 48, "--segments", 4, *SHORT]
    out = tmp_path / "results.json"
    status, shown, errors = run_script("panoptic_quality", *options, "--out", out)
    assert status == 0, errors
    results = json.loads(out.read_text())
    check_fields(results, "panoptic_quality", options)
    memory, files = results["cases"]
    assert [c["name"] for c in memory["candidates"]] == ["pixel by pixel", "by runs"]
    assert [c["name"] for c in files["candidates"]] == ["pixel by pixel", "by hotcoco"]
    assert "PNG files, 32x48, 4 things" in shown


def test_gate_fitting_by_either_way(run_script, tmp_path):
    options = ["--images", 60, "--channels", 3, "--betas", 0, 0.01, "--loss", "soft-ce", *SHORT]
    out = tmp_path / "results.json"
    status, shown, errors = run_script("gate_fitting", *options, "--out", out)
    assert status == 0, errors
    results = json.loads(out.read_text())
    check_fields(results, "gate_fitting", options)
    (case,) = results["cases"]
    assert [c["name"] for c in case["candidates"]] == ["Adam, 2 epochs", "mmproscale"]
    assert "2 gates, 60 vectors of 3, soft-ce" in shown


def test_attention_has_the_largest_maps_and_smaller_ones(load_script):
    script = load_script("attention")
    first, *others = script.SIZES
    assert (first.tokens, first.queries, first.heads, first.head_dim) == (17_850, None, 8, 32)
    assert str(first).startswith("17,850 queries over maps 25x34, 50x68, 100x136")
    assert len(others) == 8
    assert {size.head_dim for size in others} == {8, 16, 32}
    assert {size.batch for size in others} == {1, 4}


def test_tokens_look_around_themselves(load_script):
    script = load_script("attention")
    args = script.make_parser("").parse_args([])
    size = script.Size(((4, 8), (8, 16)), head_dim=4)
    value, locations, weights = script.make_inputs(size, args)
    assert value.shape == (1, 160, 8, 4) and locations.shape == (1, 160, 8, 2, 4, 2)
    torch.testing.assert_close(weights.sum((3, 4)), torch.ones(1, 160, 8))
    centres = locations.detach().mean((0, 2, 3, 4))
    expected = script.pixel_centres(4, 8)
    assert expected[9].tolist() == [1.5 / 8, 1.5 / 4]  # second row, second column
    assert (centres[:32] - expected).abs().max() < 0.25


def test_mmdets_own_attends_as_without_us(run_script, tmp_path, monkeypatch):
    calls, forward = [], embedding_bag_attention.forward
    monkeypatch.setattr(
        embedding_bag_attention, "forward", lambda *args: calls.append(1) or forward(*args)
    )
    once = ["--rounds", 1, "--warm-up", 0, "--no-memory", "--out", tmp_path / "results.json"]
    with attention_backend("torch"):
        run_script("inference", "--configs", "m2f_r18_shapes", "--size", 64, 64, *once)
        assert len(calls) == 3  # the layers of ours
        calls.clear()
        run_script("training_step", *TRAINING, *once)
        assert len(calls) == 6


def test_half_precision(run_script, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "RESULTS", tmp_path)
    run_script("attention", *ATTENTION, *SHORT, "--precision", "bf16")
    assert json.loads((tmp_path / "attention_cpu_bf16.json").read_text())["dtype"].startswith("bfl")


def test_memory_of_each_candidate_comes_from_a_child_of_its_own(run_script, tmp_path, monkeypatch):
    asked = []

    def answer(script, arguments):
        asked.append((script, arguments))
        return 12.5

    monkeypatch.setattr("mmproscale.timing.comparison.peak_in_a_child", answer)
    monkeypatch.setattr(benchmark, "RESULTS", tmp_path)
    options = [*map(str, ATTENTION), "--rounds", "1", "--warm-up", "0"]
    run_script("attention", *options)
    results = json.loads((tmp_path / "attention_cpu.json").read_text())
    assert [c["peak_memory_mib"] for c in results["cases"][0]["candidates"]] == [12.5] * 4
    assert [arguments[-3:] for _, arguments in asked][:2] == [
        ["--memory-of", "0", MMCV],
        ["--memory-of", "0", "automatic"],
    ]
    assert all(script.endswith("benchmarks/attention.py") for script, _ in asked)
    assert all(arguments[:-3] == options for _, arguments in asked)


@pytest.mark.parametrize(
    ("name", "options", "candidate"),
    [
        ("attention", ["--maps", "32x32", "--batch", 4], "torch"),
        ("inference", [*INFERENCE[:2], "--size", 128, 128], "m2f_r18_shapes"),
        ("training_step", [*TRAINING[3:], "--size", 128, 128], "mmdet"),
        ("panoptic_quality", ["--size", 64, 64], "by runs"),
    ],
)
def test_a_child_measures_one_candidate_and_writes_nothing(
    run_script, monkeypatch, tmp_path, name, options, candidate
):
    monkeypatch.setattr(benchmark, "RESULTS", tmp_path / "results")
    status, shown, _ = run_script(name, *options, "--memory-of", 0, candidate)
    assert status == 0
    assert 0 <= float(shown.splitlines()[-1]) < 1000
    assert not (tmp_path / "results").exists()


def test_bad_options_are_one_line(run_script, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, _, errors = run_script("attention", "--device", "cuda")
    assert (status, errors) == (2, "error: --device cuda: PyTorch finds no GPU here\n")
    status, _, errors = run_script(
        "inference", "--configs", "proscale_m2f_r18_shapes", "--no-memory"
    )
    assert status == 2 and "name an m2f_*" in errors
    status, _, errors = run_script("attention", "--rounds", "0")
    assert status == 2 and "0 is less than 1" in errors


ANNOTATION = ["--images", 20, "--segments", 60, "--workers", 2]


def test_annotation_of_a_dataset(run_script, tmp_path):
    out = tmp_path / "results.json"
    status, _, errors = run_script("annotation_loading", *ANNOTATION, *SHORT, "--out", out)
    assert status == 0, errors
    results = json.loads(out.read_text())
    check_fields(results, "annotation_loading", [*ANNOTATION, *SHORT])
    loaded, read = results["cases"]
    assert loaded["name"] == "loaded: 20 images, 60 segments"
    assert read["name"] == "read by 2 workers: 20 images, 60 segments"
    for case in results["cases"]:
        assert [c["name"] for c in case["candidates"]] == ["mmdet", "mmproscale"]


def test_both_datasets_read_the_same_annotation(load_script, tmp_path):
    script = load_script("annotation_loading")
    script.write_dataset(tmp_path, 6, 40)
    theirs, ours = (script.load(dataset, tmp_path) for dataset in script.TYPES.values())
    assert len(theirs) == len(ours) == 6
    for their, our in zip(theirs, ours, strict=True):
        assert their["instances"] == our["instances"] and their["img_path"] == our["img_path"]
        assert [s["id"] for s in their["segments_info"]] == [s["id"] for s in our["segments_info"]]
    assert sum(len(item["segments_info"]) for item in ours) == 40
    assert script.memory_of(ours, 2) > 10
