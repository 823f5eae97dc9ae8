"""tools/cost.py: what it prints for people and for programs, and what it refuses."""

import json

import pytest

from mmproscale.cost.model_cost import build_network, model_cost
from mmproscale.utils.config import load_config

OURS, TWIN = "proscale_m2f_r18_shapes.py", "m2f_r18_shapes.py"


def test_json_is_a_list_with_the_promised_keys(run_tool, configs):
    names = [str(configs / OURS), str(configs / TWIN)]
    status, out, _ = run_tool("cost.py", *names, "--shape", 97, 130, "--json")
    assert status == 0
    first, second = json.loads(out)
    assert [first["config"], second["config"]] == names
    cost = model_cost(build_network(load_config(configs / OURS)), (97, 130))
    assert first["padded_shape"] == [128, 160]
    assert first["total"] == cost.total / 1e9
    assert first["pixel_decoder"] == cost.pixel_decoder / 1e9 < first["published_pixel_decoder"]
    assert first["published_total"] == cost.published_total / 1e9 > first["total"]
    assert first["params"] == cost.params
    assert sum(part["gmacs"] for part in first["parts"]) == pytest.approx(first["total"])
    assert second["pixel_decoder"] > first["pixel_decoder"]
    assert first["activation_memory"] is None


def test_without_a_shape_the_first_config_states_it(run_tool, configs):
    camvid = configs / "m2f_r18_camvid.py"
    status, out, error = run_tool("cost.py", camvid, configs / OURS, "--json")
    assert status == 0, error
    assert [one["shape"] for one in json.loads(out)] == [[360, 480]] * 2


def test_one_model_is_shown_by_part(run_tool, configs):
    status, out, err = run_tool("cost.py", configs / OURS, "--shape", 64, 96, "--memory")
    assert status == 0, err
    for text in (
        "one image of 64x96",
        "encoder stage 3: 32,16,8 <- 32,16,8 x1",
        "published form, total",
        "activations, training, 16 bits",
        "MiB",
    ):
        assert text in out


def test_several_stand_side_by_side_with_percentages_of_the_first(run_tool, configs):
    lite = configs / "lite_m2f_r18_shapes.py"
    status, out, _ = run_tool("cost.py", configs / TWIN, configs / OURS, lite, "--shape", 60, 96)
    assert status == 0
    assert "padded to 64x96" in out
    lines = {line.split("│")[1].strip(): line for line in out.splitlines() if "│" in line}
    assert lines["backbone"].count("(100%)") == 2
    assert lines["encoder"].count("%)") == 2 and "(100%)" not in lines["encoder"]
    assert lines["token"].split("│")[2].strip() == "-"  # recalibration, which the first lacks


def test_a_model_with_a_gate_is_shown_at_each_exit(run_tool, configs):
    gated = configs / "eco_m2f_r18_shapes.py"
    status, out, _ = run_tool("cost.py", configs / TWIN, gated, "--shape", 64, 96)
    assert status == 0
    title = out.index("eco_m2f_r18_shapes, GMACs at each exit")
    exits = [line.split("│")[1].strip() for line in out[title:].splitlines() if "│" in line]
    assert exits == ["2", "3", "4", "5", "6"]
    assert "m2f_r18_shapes, GMACs at each exit" not in out[:title]

    status, out, _ = run_tool("cost.py", configs / TWIN, gated, "--shape", 64, 96, "--json")
    without, with_gate = json.loads(out)
    assert without["exits"] == [] and len(with_gate["exits"]) == 5
    last = with_gate["exits"][-1]
    names = ("total", "pixel_decoder", "published_total", "published_pixel_decoder")
    assert last == {"exit": 6} | {name: with_gate[name] for name in names}
    totals = [entry["total"] for entry in with_gate["exits"]]
    assert totals == sorted(set(totals))


def test_a_stock_config_of_the_installed_mmdet(run_tool):
    name = "mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py"
    status, out, err = run_tool("cost.py", name, "--shape", 128, 128, "--json")
    assert status == 0, err
    (cost,) = json.loads(out)
    assert cost["total"] == cost["published_total"] > 1
    assert cost["params"] == pytest.approx(32.1e6, rel=0.02)
    assert [part["name"] for part in cost["parts"]] == ["backbone", "bbox head"]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["nowhere.py"], "nowhere.py is not a file"),
        (["mmdet::nowhere.py"], "is not a file in"),
        ([OURS, "--shape", "0", "96"], "0 is less than 1"),
        ([OURS, "--shape", "x", "96"], "invalid int value"),
        (["EMPTY"], "has no model"),
    ],
)
def test_bad_input_is_one_line(run_tool, configs, tmp_path, arguments, fault):
    (tmp_path / "empty.py").write_text("data = 1\n")
    known = {OURS: configs / OURS, "EMPTY": tmp_path / "empty.py"}
    status, out, err = run_tool("cost.py", *(known.get(word, word) for word in arguments))
    assert (status, out) == (2, "")
    assert fault in err.splitlines()[-1]
