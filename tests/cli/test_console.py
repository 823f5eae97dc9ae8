"""The command mmproscale runs every tool, by the name of its file."""

import sys
from pathlib import Path

import pytest

import mmproscale
from mmproscale.cli import console
from mmproscale.compat import stack

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """``command('train', ...)`` -> exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mmproscale", *words])
        try:
            console.main()
            status = 0
        except SystemExit as stop:
            status = stop.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_every_tool_is_a_command():
    assert {file.resolve() for file in console.tools().values()} == set(TOOLS.rglob("*.py"))
    assert {"train", "check-dataset", "datasets make-shapes"} <= console.tools().keys()


@pytest.mark.parametrize("name", console.tools())
def test_every_command_says_what_it_is_for(name, command):
    status, output, _ = command(*name.split(), "--help")
    assert status == 0 and output.startswith(f"usage: mmproscale {name} ")


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_lists_all(words, command):
    status, output, _ = command(*words)
    assert status == 0
    for name in console.tools():
        (line,) = [line for line in output.splitlines() if line.startswith(f"  {name}  ")]
        assert len(line) > len(name) + 30, "every tool says in a line what it does"


def test_says_which_stack_it_runs_on(command):
    status, output, _ = command("--version")
    assert status == 0
    assert output.startswith(f"mmproscale {mmproscale.__version__} on {stack()}: mmengine 0.")


def test_passes_arguments_on(command, tmp_path):
    options = ("--out", "made", "--train", "2", "--val", "1", "--size", "64")
    status, output, _ = command("datasets", "make-shapes", *options)
    assert status == 0 and "made: 2 + 1 images" in output
    assert (tmp_path / "made" / "annotations" / "panoptic_train.json").is_file()


@pytest.mark.parametrize(
    "words, said",
    [
        (("trian",), "no command 'trian': did you mean 'train'?"),
        (("datasets", "shapes"), "no command 'datasets shapes': did you mean 'datasets"),
        (("xyzzy",), "no command 'xyzzy': mmproscale --help lists them"),
        (("train", "nowhere"), "config nowhere is not a file, nor the name of one in"),
    ],
)
def test_bad_commands_are_one_line(words, said, command):
    status, _, error = command(*words)
    assert status == 2 and said in error and len(error.splitlines()) == 1
