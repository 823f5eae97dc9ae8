"""The command mmproscale runs every tool, by the name of its file."""

import re
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


def test_commands_stand_in_groups_with_an_example_that_runs(command):
    _, output, _ = command()
    headings = [line for line in output.splitlines() if ", e.g. mmproscale " in line]
    assert len(headings) == len(console.GROUPS)
    for heading in headings:
        words = heading.partition("mmproscale ")[2].split()
        assert console.command_of(words) if words[0] != "help" else words[1] in console.tools()
    training = output.partition("training, e.g.")[2].partition("\n\n")[0]
    assert "  train " in training and "  new-config " in training


def test_commands_may_be_written_as_their_files_are_named():
    assert console.command_of(["new_config", "--data", "a_b"]) == "new-config"
    assert console.command_of(["datasets", "from_yolo", "a_b"]) == "datasets from-yolo"
    assert console.command_of(["eco", "fit"]) == "eco"


def test_help_of_a_command_is_that_of_its_tool(command):
    for name in ("train", "datasets ade20k", "eco fit"):
        assert command("help", *name.split()) == command(*name.split(), "--help")
    assert command("help") == command()
    assert command("help", "trian")[0] == 2


@pytest.mark.parametrize("word", ["version", "--version"])
def test_says_which_stack_it_runs_on(word, command):
    status, output, _ = command(word)
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
        (("datasets",), "no command 'datasets': name one of datasets ade20k, "),
        (("completion",), "name a shell, one of bash, zsh, fish"),
        (("completion", "csh"), "name a shell, one of bash, zsh, fish"),
        (("test", "proscale_m2f_r50_coco", "none.pth"), "none.pth not found: no checkpoint"),
        (("train", "proscale_m2f_r50_coco", "--resume", "none.pth"), "none.pth not found"),
        (("xyzzy",), "no command 'xyzzy': mmproscale --help lists them"),
        (("train", "nowhere"), "config nowhere is not a file, nor the name of one in"),
    ],
)
def test_bad_commands_are_one_line(words, said, command):
    status, _, error = command(*words)
    assert status == 2 and said in error and len(error.splitlines()) == 1


def test_messages_name_commands_that_exist():
    package = console.TOOLS.parent
    files = [*package.glob("mmproscale/**/*.py"), *package.glob("tools/**/*.py")]
    texts = (file.read_text(encoding="utf-8") for file in files)
    named = {n for text in texts for n in re.findall(r"\bcommand\([\"']([a-z _-]+)[\"']\)", text)}
    assert "new-config" in named
    wrong = [n for n in named if not n.startswith(console.command_of(n.split()))]
    assert not wrong
