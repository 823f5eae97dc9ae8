"""Tools that are stopped in the middle keep what is whole, and leave with one line."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.stopped_commands import NAME, STATUS, Command, children_of, left
from helpers.tiny_eco import CONFIG, options, write_checkpoint

from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes
from mmproscale.early_exit.derived_file import read_table

TOOLS = Path(__file__).resolve().parents[2] / "tools"
IMAGES = 40


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(folder, ShapesSpec(train=IMAGES, val=2, size=64))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "step_a.pth")


def start(name: str, *arguments: object) -> Command:
    return Command(str(TOOLS / name), *map(str, arguments))


def stop(command: Command, number: int, ready: Callable[[], bool]) -> list[str]:
    """Signal the command's group when it is ready; return its lines on stderr but the bars."""
    deadline = time.monotonic() + 240
    while not ready():
        assert command.process.poll() is None and time.monotonic() < deadline, command.end()
        time.sleep(0.01)
    children = children_of(command)
    command.stop(number)
    status, error = command.end()
    assert status == STATUS[number], error
    assert not left(children)
    return [line for line in error.splitlines() if line.strip() and "ETA" not in line]


def test_predictions_are_whole(shapes, checkpoint, tmp_path):
    out = tmp_path / "out"
    command = start("predict.py", CONFIG, checkpoint, shapes / "train", "--out", out)
    ready = lambda: len(list(out.glob("panoptic/*.png"))) >= 2  # noqa: E731
    assert stop(command, signal.SIGINT, ready) == ["stopped by Ctrl-C"]
    content = json.loads((out / "panoptic.json").read_text())
    names = {path.name for path in (out / "panoptic").iterdir()}
    assert names == {one["file_name"] for one in content["annotations"]}
    assert 2 <= len(content["images"]) == len(names) < IMAGES


def test_a_derivation_continues_after_its_finished_parts(shapes, checkpoint, tmp_path):
    out = tmp_path / "derived.parquet"
    settings = [f"{key}={value}" for key, value in options(shapes).items()]
    settings[1] = "test_dataloader.num_workers=1"
    arguments = ["derive", CONFIG, checkpoint, "--out", out, "--cfg-options", *settings]
    command = start("eco.py", *arguments)
    parts = lambda: [one for one in tmp_path.rglob("*.parquet") if one.name[0] != "."]  # noqa: E731
    assert stop(command, signal.SIGTERM, lambda: bool(parts())) == [
        "stopped by SIGTERM: finished parts are kept, and the same command continues after them"
    ]
    assert parts() and not out.exists()
    command = start("eco.py", *arguments)
    command.wait_for("written")
    assert command.end()[0] == 0 and len(read_table(out)) == IMAGES


@pytest.mark.parametrize("number", STATUS)
def test_a_conversion_by_several_processes_leaves_no_json(tmp_path, number):
    out, maps = tmp_path / "made", {name: tmp_path / name for name in ("photos", "maps")}
    pixels = np.random.default_rng(0).integers(0, 2, (200, 200), np.uint8)
    for folder in maps.values():
        folder.mkdir()
        for count in range(300):
            cv2.imwrite(str(folder / f"{count}.png"), pixels)
    classes = [dict(id=0, name="dark", isthing=0), dict(id=1, name="light", isthing=1)]
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    folders = ["--images", maps["photos"], "--semantic", maps["maps"]]
    folders += ["--instance", maps["maps"], "--classes", tmp_path / "classes.json"]
    command = start("datasets/from_maps.py", *folders, "--out", out, "--workers", 2)
    ready = lambda: len(list(out.rglob("*.png"))) >= 2  # noqa: E731
    assert stop(command, number, ready) == [f"stopped by {NAME[number]}"]
    assert not list(out.rglob("*.json")) and not list(out.rglob("*.tmp*"))
    assert all(cv2.imread(str(path)) is not None for path in out.rglob("*.png"))


def test_a_tools_own_imports_are_stopped_in_one_line():
    command = start("train.py", "m2f_r18_shapes")
    ready = lambda: "mmproscale/cli/command_line" in maps_of(command)  # noqa: E731
    assert stop(command, signal.SIGINT, ready) == ["stopped by Ctrl-C"]


def maps_of(command: Command) -> str:
    """Return a word once torch's library is being loaded, which comes after our handlers."""
    text = Path(f"/proc/{command.process.pid}/maps").read_text()
    return "mmproscale/cli/command_line" if "libtorch_python" in text else ""
