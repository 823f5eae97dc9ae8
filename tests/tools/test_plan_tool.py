"""tools/plan.py: choice within the budget, marked figures of the paper, config that loads."""

import json

import pytest
from helpers.own_data import write_panoptic
from PIL import Image

from mmproscale.cost.model_cost import build_network, model_cost
from mmproscale.utils.config import load_config

SHAPE = ("--shape", 200, 260)


def plan(run_tool, *arguments):
    status, out, err = run_tool("plan.py", *arguments, *SHAPE, "--out", "plan", "--json")
    assert status == 0, err
    return json.loads(out)


def test_the_written_config_costs_what_the_plan_says_and_is_within_the_budget(run_tool, tmp_path):
    result = plan(run_tool, "--backbone", "swin-t", "--budget", 11)
    (chosen,) = [row for row in result["frontier"] if row["chosen"]]
    assert chosen["name"] == result["chosen"]
    cost = model_cost(build_network(load_config(tmp_path / result["config"])), SHAPE[1:])
    assert cost.published_total / 1e9 == chosen["gmacs"] <= 11
    dearer = result["frontier"][result["frontier"].index(chosen) + 1]
    assert dearer["gmacs"] > 11
    assert Image.open(tmp_path / result["plot"]).size[0] > 500


def test_only_published_figures_are_quoted(run_tool):
    result = plan(run_tool, "--backbone", "swin-t", "--budget", 1000)
    rows = {row["name"]: row for row in result["frontier"]}
    assert rows["PRO-SCALE (3,3,3), LPE"]["paper_pq"] == pytest.approx(0.5282)
    assert rows["PRO-SCALE (2,3,3), LPE"]["paper_pq"] is None
    assert rows["PRO-SCALE (2,3,3), LPE"]["paper_pq_at_least"] == pytest.approx(0.5240)
    prices = [row["gmacs"] for row in result["frontier"]]
    assert prices == sorted(prices)


@pytest.mark.parametrize(("options", "count"), [((), 10), (("--all",), 21)])
def test_the_table_has_the_ten_rows_nearest_to_the_budget(run_tool, monkeypatch, options, count):
    monkeypatch.setenv("COLUMNS", "160")
    status, out, _ = run_tool("plan.py", "--backbone", "swin-t", "--budget", 150, *options)
    rows = [line for line in out.splitlines() if line.startswith("│")]
    assert status == 0 and len(rows) == count
    assert sum("-> Lite (5+1), LPE" in row for row in rows) == 1
    assert ("10 of 21 on the frontier; --all prints the others." in out) == (not options)


def test_the_data_states_the_size_and_the_small_backbone_is_known(run_tool, tmp_path):
    data = write_panoptic(tmp_path / "data")
    arguments = ("--backbone", "r18", "--budget", 50, "--out", "plan")
    status, out, error = run_tool("plan.py", *arguments, "--data", data)
    assert status == 0, error
    assert "r18, one image of 64x64: " in out and "10 of " in out
    (config,) = (tmp_path / "plan").glob("*_m2f_r18_camvid.py")
    assert f"next:   mmproscale new-config --data {data} --base plan/{config.name}" in out
    status, out, error = run_tool("plan.py", *arguments)
    assert status == 0 and "one image of 360x480" in out, error


def test_a_backbone_without_rows_in_the_paper_gets_no_figures(run_tool):
    status, out, _ = run_tool("plan.py", "--backbone", "swin-s", "--budget", 99, *SHAPE)
    assert status == 0
    assert "(paper)" in out and "rows with Swin-T rank the encoders" in out
    assert "52." not in out


def test_latency_orders_the_frontier(run_tool):
    arguments = ("--latency", 1e6, "--rounds", 1, "--max-repeats", 1, "--shape", 64, 64)
    status, out, err = run_tool("plan.py", "--backbone", "r50", *arguments, "--json")
    assert status == 0, err
    result = json.loads(out)
    latencies = [row["latency_ms"] for row in result["frontier"]]
    assert latencies == sorted(latencies) and latencies[0] > 0
    assert result["frontier"][-1]["chosen"]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--backbone", "vgg", "--budget", 9], "--backbone vgg is not among"),
        (["--backbone", "swint", "--budget", 9], "(did you mean swin-t?)"),
        (["--backbone", "r50", "--budget", 9, "--data", "."], "leave one out"),
        (["--backbone", "r50", "--budget", 1], "nothing fits 1 GFLOPs: the cheapest, M2F x1, LPE"),
        (["--backbone", "r50", "--budget", "nan"], "nan is not above 0"),
        (["--backbone", "r50"], "one of the arguments --budget --latency is required"),
        (["--backbone", "r50", "--budget", 1, "--latency", 1], "not allowed with"),
        (["--backbone", "r50", "--latency", 1, "--device", "cuda"], "is not there"),
    ],
)
def test_bad_input_is_one_line(run_tool, arguments, fault):
    status, out, err = run_tool("plan.py", *arguments, *SHAPE)
    assert (status, out) == (2, "")
    assert fault in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "detector"),
    [("dino", "DINO"), ("ddq", "DDQDETR"), ("deformable-detr", "DeformableDETR")],
)
def test_plan_for_a_detectors_encoder(run_tool, tmp_path, name, detector):
    arguments = ("--framework", name, "--backbone", "r50", "--shape", 224, 256)
    more = ("--max-repeats", 2, "--budget", 1000, "--out", "plan")
    status, out, err = run_tool("plan.py", *arguments, *more)
    assert status == 0, err
    assert "AP (paper)" in out and "layers at 64, 32," in out
    (config,) = (tmp_path / "plan").glob("*.py")
    assert load_config(config).model.type == f"mmproscale.Scheduled{detector}"
