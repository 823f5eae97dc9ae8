"""Commands that messages name: spelled as the user started the one that runs."""

import sys

import pytest

from mmproscale.utils.command_names import command, several_processes
from mmproscale.utils.config import TOOLS


@pytest.mark.parametrize(
    ("started", "train", "convert"),
    [
        ("mmproscale new-config", "mmproscale train", "mmproscale datasets from-maps"),
        (
            "python -m mmproscale new-config",
            "python -m mmproscale train",
            "python -m mmproscale datasets from-maps",
        ),
        ("tools/new_config.py", "python tools/train.py", "python tools/datasets/from_maps.py"),
        (
            "tools/datasets/from_labelme.py",
            "python tools/train.py",
            "python tools/datasets/from_maps.py",
        ),
        (f"{TOOLS}/eco.py", f"python {TOOLS}/train.py", f"python {TOOLS}/datasets/from_maps.py"),
        ("/usr/bin/my_script.py", "mmproscale train", "mmproscale datasets from-maps"),
    ],
)
def test_command_is_spelled_as_the_one_that_runs(started, train, convert, monkeypatch):
    monkeypatch.chdir(TOOLS.parent)
    monkeypatch.setattr(sys, "argv", [started])
    assert command("train") == train
    assert command("datasets from-maps") == convert
    assert command("eco fit").split()[-1] == "fit"


@pytest.mark.parametrize(
    ("started", "line"),
    [
        ("mmproscale new-config", "mmproscale launch --nproc-per-node 4 -m mmproscale train"),
        ("tools/new_config.py", "python tools/launch.py --nproc-per-node 4 tools/train.py"),
    ],
)
def test_several_processes_are_started_by_launch(started, line, monkeypatch):
    monkeypatch.chdir(TOOLS.parent)
    monkeypatch.setattr(sys, "argv", [started])
    assert several_processes(4) == line
