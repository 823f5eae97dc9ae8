"""docs/encoders.md as a reader follows it: its files are written, built, priced and trained."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmproscale.cost.model_cost import build_network
from mmproscale.models.encoders.schedule import SCHEDULES
from mmproscale.utils.config import load_config

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/encoders.md").read_text()


def python_blocks():
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A folder with the page's files, where configs/ is the repository's."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for block in python_blocks():
        if named := re.match(r"# (\w+\.py)\n", block):
            (tmp_path / named.group(1)).write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("mmproscale.models.encoders.schedule.SCHEDULES", SCHEDULES)
    yield tmp_path
    SCHEDULES.pop("coarse_first", None)
    sys.modules.pop("my_schedules", None)


def schedule_of(path):
    return build_network(load_config(path)).mask_head.pixel_decoder.encoder.schedule


def test_the_encoder_of_the_page_is_what_it_says(reader):
    schedule = schedule_of(reader / "my_encoder.py")
    stages = [str(stage) for stage in schedule.stages]
    assert stages == ["32,16 <- 32,16 x2", "8 <- 32,16 x1", "32,16,8 <- 32,16,8 x1"]
    assert schedule.exits == (3, 4)


def test_a_named_one_is_found_by_its_import(reader):
    assert str(schedule_of(reader / "my_named_encoder.py")).startswith("coarse first (3) [32,16 <-")


def test_its_cost_stands_next_to_that_of_its_base(reader, run_tool):
    configs = [reader / "configs/m2f_r18_shapes.py", reader / "my_encoder.py"]
    status, out, err = run_tool("cost.py", *configs, "--shape", 128, 128, "--json")
    assert status == 0, err
    base, mine = json.loads(out)
    assert mine["pixel_decoder"] < base["pixel_decoder"]


def test_it_trains(reader, run_tool, tmp_path):
    shapes = tmp_path / "shapes"
    sizes = ("--train", 8, "--val", 2)
    assert run_tool("datasets/make_shapes.py", "--out", shapes, *sizes)[0] == 0
    status, _, err = run_tool(
        "train.py",
        reader / "my_encoder.py",
        "--work-dir",
        tmp_path / "work",
        "--cfg-options",
        "train_cfg.max_iters=2",
        "train_cfg.val_interval=2",
        f"data_root={shapes}",
        "default_hooks.checkpoint.interval=2",
    )
    assert status == 0, err
    assert (tmp_path / "work/iter_2.pth").is_file()


def test_the_table_lists_what_is_there():
    listed = re.findall(r'^\| `type="(\w+)"', PAGE, re.MULTILINE)
    assert set(listed) == set(SCHEDULES)


def test_the_code_that_prices_runs(capsys):
    (block,) = (b for b in python_blocks() if "token_counts" in b)
    exec(compile(block, "docs/encoders.md", "exec"), {})
    text = capsys.readouterr().out
    assert "PRO-SCALE (1,2,3)" in text and "(4, 5, 6)" in text


def test_two_levels(reader):
    schedule = schedule_of(reader / "my_two_levels.py")
    assert schedule.strides == (32, 16) and schedule.num_layers == 3


def test_the_refusal_is_the_one_that_is_shown(reader, run_tool):
    text = (reader / "my_encoder.py").read_text()
    start, end = text.index("    name="), text.index("\n)\ndecoder")
    stages = "    stages=[dict(queries=(32, 16), keys=(32, 8))],"
    (reader / "my_encoder.py").write_text(text[:start] + stages + text[end:])
    status, _, err = run_tool("cost.py", reader / "my_encoder.py")
    assert status == 2
    assert err.splitlines()[-1] in " ".join(PAGE.split())


def test_a_schedule_needs_no_torch():
    code = "import mmproscale.models.encoders.schedule as s, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
