"""Peers: what each candidate keeps, a dry run of some, its page, and what is said of the others."""

import argparse
import json

import pytest
import torch
from common import peer_models
from common.peer_models import PEERS, QUERIES_KEPT, GivenClasses, _transformers

from mmproscale.errors import InputError

SHORT = ["--dry-run", "--threads", 1]
BASE, OURS, EOMT = "transformers, M2F Swin-T", "(1,1,1) Swin-T", "transformers, EoMT-S"


def test_half_of_the_queries_kept_are_things():
    logits = GivenClasses(100, 80, 53)(torch.randn(2, 100, 7))
    scores, labels = logits.softmax(-1).max(-1)
    assert logits.shape == (2, 100, 134) and scores.min() > 0.98
    kept = labels[0][labels[0] < 133]
    assert len(kept) == len(set(kept.tolist())) == QUERIES_KEPT
    assert int((kept < 80).sum()) == QUERIES_KEPT // 2


def test_published_figures_are_those_of_the_papers_tables():
    assert dict(PEERS[OURS].pq) == {"coco": 50.79, "cityscapes": 60.58}
    assert dict(PEERS["(3,3,3) Swin-T"].pq) == {"coco": 52.82, "cityscapes": 63.06}
    assert dict(PEERS["M2F Swin-T"].pq) == {"coco": 52.03, "cityscapes": 64.0}
    assert dict(PEERS["Lite Swin-T"].pq) == {"coco": 52.7, "cityscapes": 62.29}
    assert next(iter(PEERS)) == BASE
    assert [name for name, peer in PEERS.items() if not peer.exports] == [
        "mmdet, M2F Swin-T",
        "mmdet, M2F R50",
    ]


@pytest.fixture
def workshop(load_script, tmp_path):
    args = dict(device="cpu", threads=1, no_memory=True, dry_run=False, files=tmp_path)
    return load_script("peers").Workshop(argparse.Namespace(**args))


@pytest.mark.parametrize(
    ("name", "form", "why"),
    [
        (EOMT, "fp32", "published weights take 640x640 only"),
        ("mmdet, M2F R50", "onnx", "no export"),
        (OURS, "onnx", "too much for all at this size"),
    ],
)
def test_a_candidate_that_is_not_there_has_a_reason(workshop, tmp_path, name, form, why):
    with pytest.raises(InputError, match=why):
        workshop.prepare(name, form, (1024, 2048), tmp_path)


@pytest.fixture(scope="module")
def toy():
    """Peer whose network is a product, with a processor like those of transformers."""

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.product = torch.nn.Conv2d(3, 100, 4, 4)
            self.classes = GivenClasses(100, 80, 53)

        def forward(self, pixel_values):
            from types import SimpleNamespace

            masks = self.product(pixel_values)
            classes = self.classes(masks.flatten(2))
            return SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)

    class Processor:
        def __call__(self, images, return_tensors):
            return {"pixel_values": torch.from_numpy(images).permute(2, 0, 1)[None] / 255}

        def post_process_panoptic_segmentation(self, outputs, target_sizes, **thresholds):
            assert thresholds["threshold"] == 0.8
            kept = outputs.class_queries_logits.argmax(-1)[0] < 133
            return [{"segmentation": outputs.masks_queries_logits[0, kept].argmax(0)}]

    model = _transformers(Network().eval(), Processor(), {})
    return peer_models.Peer(lambda setting: model, {"coco": 50.0}, "nowhere")


@pytest.fixture
def run_toys(run_script, tmp_path, toy):
    """Run the benchmark with two toys, one of which can't be exported."""
    real = dict(PEERS)
    PEERS.clear()
    deaf = peer_models.Peer(toy.make, {"coco": 40.0}, "nowhere", exports=False, ours=True)
    PEERS.update({"toy": toy, "deaf toy": deaf})
    out = tmp_path / "results" / "peers_cpu.json"
    options = ["--rounds", 2, "--threads", 1, "--files", tmp_path / "files", "--out", out]

    def run(*more):
        answer = run_script("peers", "--sizes", "64x96", *options, *more)
        return answer, json.loads(out.read_text()) if out.exists() else None, out

    yield run
    PEERS.clear()
    PEERS.update(real)


FORMS = ["fp32", "bf16", "onnx", "openvino", "openvino-bf16"]


def test_every_form_is_measured_with_the_base_in_turn(run_toys, tmp_path):
    (status, _, errors), results, out = run_toys("--forms", *FORMS)
    assert status == 0, errors
    names = [case["name"] for case in results["cases"]]
    assert names == [f"64x96, {form}" for form in FORMS]
    for case, form in zip(results["cases"], FORMS, strict=True):
        measured = [one["name"] for one in case["candidates"]]
        toys = [f"toy, {form}"] if form == "fp32" else ["toy, fp32", f"toy, {form}"]
        in_torch = form in ("fp32", "bf16")
        assert measured == toys + ([f"deaf toy, {form}"] if in_torch else [])
        assert list(case["missing"]) == ([] if in_torch else [f"deaf toy, {form}"])
        for one in case["candidates"]:
            assert set(one["parts"]) == {"results", "whole"} and one["peak_memory_mib"] >= 0
    assert set(results["packages"]) == {"transformers", "onnxruntime", "openvino"}
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["toy_64x96.onnx"]
    assert not out.with_suffix(".unfinished.json").exists()


def test_an_interrupted_run_goes_on_with_the_case_it_had_not_finished(
    run_toys, tmp_path, monkeypatch
):
    from mmproscale.timing import comparison

    measured, measure = [], comparison.measure_case

    def interrupted(case, *rest):
        measured.append(case.name)
        if len(measured) == 2:
            raise KeyboardInterrupt
        return measure(case, *rest)

    monkeypatch.setattr(comparison, "measure_case", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_toys("--forms", "fp32", "bf16")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["peers_cpu.unfinished.json"]
    (status, _, errors), _, _ = run_toys("--forms", "fp32", "bf16", "--warm-up", 1)
    assert status == 2 and "is of a run with other options" in errors
    (status, shown, _), results, _ = run_toys("--forms", "fp32", "bf16")
    assert status == 0 and "1 finished cases are taken from" in shown
    assert [case["name"] for case in results["cases"]] == ["64x96, fp32", "64x96, bf16"]
    assert measured == ["64x96, fp32", "64x96, bf16", "64x96, bf16"]


def test_the_page_has_a_table_for_each_size_the_reasons_and_a_plot(run_toys, run_script, tmp_path):
    _, results, out = run_toys("--forms", "fp32", "onnx")
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    status, _, errors = run_script("page", "--results", out.parent, "--out", page)
    assert status == 0, errors
    lines = page.read_text().splitlines()
    assert "### 64x96" in lines and "|  | PQ, coco | fp32 | onnx |" in lines
    (row,) = [line for line in lines if line.startswith("| deaf toy | 40.0 | ")]
    assert row.endswith(" |  |") and " ms (" in row and " MiB" in row
    assert "- Not measured: deaf toy, onnx: its package has no export of its own" in lines
    assert {"- toy: nowhere", "- deaf toy: nowhere"} <= set(lines)
    assert f"onnxruntime {results['packages']['onnxruntime']}" in page.read_text()
    assert (page.parent / "images" / "peers_cpu.png").read_bytes().startswith(b"\x89PNG")


def test_a_dry_run_of_real_peers(run_script, tmp_path):
    out, files = tmp_path / "peers.json", tmp_path / "files"
    chosen = ["--only", OURS, EOMT, "mmdet, M2F R50", "--forms", "fp32", "bf16"]
    status, _, errors = run_script("peers", *SHORT, *chosen, "--files", files, "--out", out)
    assert status == 0, errors
    fp32, bf16 = json.loads(out.read_text())["cases"]
    assert fp32["missing"] == bf16["missing"] == {}
    assert len(fp32["candidates"]) == 4 and len(bf16["candidates"]) == 4
    for case in (fp32, bf16):
        for one in case["candidates"]:
            parts = one["parts"]
            assert 0 < parts["results"]["ms"]["median"] < parts["whole"]["ms"]["median"]


def test_a_dry_run_of_an_exported_file(run_script, tmp_path):
    out, files = tmp_path / "peers.json", tmp_path / "files"
    chosen = ["--only", "PEM STDC1", "--forms", "onnx", "openvino"]
    status, _, errors = run_script("peers", *SHORT, *chosen, "--files", files, "--out", out)
    assert status == 0, errors
    for case in json.loads(out.read_text())["cases"]:
        assert case["missing"] == {} and len(case["candidates"]) == 2
