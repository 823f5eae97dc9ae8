"""Test of every tool's head: its help needs no torch, and its choices are those of the package."""

import json
import subprocess
import sys

import pytest

from mmproscale.cli.completion import parser_of
from mmproscale.early_exit.dataset_quality import BOX_IOUS
from mmproscale.early_exit.gate_fitting import LOSSES
from mmproscale.evaluation.average_precision import BACKENDS
from mmproscale.own_data.layouts import KINDS
from mmproscale.planning.candidates import FRAMEWORKS
from mmproscale.utils.config import TOOLS

# Runs every tool with --help in one process, and prints the tools after which torch was there.
HELP = """
import contextlib, io, json, runpy, sys
heavy = {}
for file in sys.argv[1:]:
    sys.argv = [file, "--help"]
    out = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(out):
        runpy.run_path(file, run_name="__main__")
    assert len(out.getvalue()) > 100, f"{file} has no help"
    heavy[file] = sorted({"torch", "mmcv", "mmdet", "matplotlib"} & set(sys.modules))
json.dump(heavy, sys.stdout)
"""


def test_help_of_every_tool_imports_no_torch():
    files = [str(file) for file in TOOLS.rglob("*.py")]
    command = [sys.executable, "-c", HELP, *files]
    found = json.loads(subprocess.check_output(command, text=True))
    assert found == {file: [] for file in files}


@pytest.mark.parametrize(
    "tool, option, known",
    [
        ("plan.py", "--framework", FRAMEWORKS),
        ("evaluate.py", "--ap-backend", BACKENDS),
        ("new_config.py", "--kind", KINDS),
        ("eco.py derive", "--quality", [*BOX_IOUS, "pq"]),
        ("eco.py fit", "--loss", LOSSES),
    ],
)
def test_choices_that_a_head_states_are_those_of_the_package(tool, option, known):
    file, *command = tool.split()
    parser = parser_of(TOOLS / file)
    for name in command:
        parser = parser._subparsers._group_actions[0].choices[name]
    assert sorted(parser._option_string_actions[option].choices) == sorted(known)
