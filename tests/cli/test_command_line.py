"""Error lines, shared options and joined processes of the command lines."""

import os
import signal
import subprocess
import sys
from argparse import ArgumentParser

import pytest
import torch

from mmproscale.cli.command_line import (
    MixedParser,
    add_cfg_options,
    add_model,
    at_least,
    command_line,
    own_device,
)
from mmproscale.errors import InputError
from mmproscale.utils.processes import LAUNCHED, LOST
from mmproscale.utils.stop_signals import Stopped
from mmproscale.version import __version__

WORKER = "Caught InputError in DataLoader worker process 0.\nTraceback: ...\n"


def raise_error(error, cause=None):
    @command_line
    def main():
        raise error from cause

    return main


@pytest.mark.parametrize(
    ("error", "cause", "line"),
    [
        (InputError("a.py is not a file"), None, "error: a.py is not a file\n"),
        (KeyError("wrapped"), InputError("model.exit=7"), "error: model.exit=7\n"),
        (InputError("the later"), InputError("the earlier"), "error: the later\n"),
        (InputError(f"{WORKER}mmproscale.errors.InputError: no"), None, "error: no\n"),
        (InputError("class `Head` in heads/head.py: 3 levels"), None, "error: 3 levels\n"),
    ],
)
def test_an_input_error_is_one_line_and_status_2(error, cause, line, capsys):
    with pytest.raises(SystemExit) as stop:
        raise_error(error, cause)()
    assert stop.value.code == 2
    assert capsys.readouterr() == ("", line)


def test_only_one_process_prints_it(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit):
        raise_error(InputError("a"))()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("launched", [True, False])
def test_a_lost_process_is_told_once(launched, monkeypatch, capsys):
    monkeypatch.setattr("mmproscale.cli.command_line.lost_process", lambda error: "closed")
    if launched:
        monkeypatch.setenv(LAUNCHED, "1")
    with pytest.raises(SystemExit) as stop:
        raise_error(RuntimeError("closed"))()
    assert stop.value.code == LOST
    assert capsys.readouterr().err.startswith("" if launched else "error: another process of")


def test_a_stop_that_a_library_has_replaced_is_a_stop(capsys):
    stop = Stopped(signal.SIGTERM, "all is kept")
    with pytest.raises(SystemExit) as leaving:
        raise_error(SyntaxError("could not format"), cause=stop)()
    assert leaving.value.code == 143
    assert capsys.readouterr().err == "stopped by SIGTERM: all is kept\n"


def test_a_stop_while_an_error_was_handled_is_a_stop(capsys):
    stop = Stopped(signal.SIGINT)
    stop.__context__ = InputError("an image that is left out")
    with pytest.raises(SystemExit) as leaving:
        raise_error(stop)()
    assert leaving.value.code == 130 and capsys.readouterr().err == "stopped by Ctrl-C\n"


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(KeyError):
        raise_error(KeyError("a bug"))()


COMMAND = """
from mmproscale.cli.command_line import command_line
@command_line
def main():
    {work}
main()
"""


def run(work: str, **variables: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", COMMAND.format(work=work)]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)


def test_the_last_line_of_a_bug_says_how_to_report_it():
    done = run("{}['a bug']")
    *_, error, last = done.stderr.splitlines()
    assert done.returncode == 1 and error == "KeyError: 'a bug'"
    for part in (
        f"mmproscale {__version__} (",
        "mmengine 0.",
        "torch ",
        "Python 3.",
        "doctor --json",
    ):
        assert part in last
    assert "://" not in last and last.startswith("error: ")


def test_a_traceback_of_bad_input_can_be_asked_for():
    work = "open('nowhere/a.json')"
    line = "error: nowhere/a.json: No such file or directory\n"
    assert run(work).stderr == line
    with_calls = run(work, MMPROSCALE_TRACEBACK="1")
    assert with_calls.stderr.startswith("Traceback") and with_calls.stderr.endswith(line)
    assert with_calls.returncode == 2


def test_a_reader_that_goes_away_ends_a_command_quietly():
    command = [sys.executable, "-c", COMMAND.format(work="print('a line\\n' * 100_000)")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.fixture
def parser():
    parser = ArgumentParser()
    add_cfg_options(parser)
    parser.add_argument("--number", type=at_least(2))
    return parser


def test_options_are_parsed_as_mmdets(parser):
    args = parser.parse_args(["--cfg-options", "a.b=3", "c=[1,2]", "d=x=y"])
    assert args.cfg_options == {"a.b": 3, "c": [1, 2], "d": "x=y"}
    assert parser.parse_args([]).cfg_options == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cfg-options", "a"], "--cfg-options a: expected KEY=VALUE"),
        (["--cfg-options", "a=dict(b=1)"], "give each of its keys as a.NAME=VALUE"),
        (["--number", "1"], "1 is less than 2"),
        (["--number", "x"], "invalid int value: 'x'"),
    ],
)
def test_bad_options_are_named(parser, words, message, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(words)
    assert message in capsys.readouterr().err


def test_the_gpu_is_that_of_the_local_rank(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert own_device() is None
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device() == "cuda:1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert own_device() is None


def test_help_needs_no_torch():
    code = "import sys, mmproscale.cli.console; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("words", "config", "checkpoint"),
    [
        ("c k", "c", "k"),
        ("k", None, "k"),
        ("c --tta k", "c", "k"),
        ("--scales 1 2 --tta k", None, "k"),
        ("c k --scales 1 2", "c", "k"),
    ],
)
def test_options_may_stand_between_config_and_checkpoint(words, config, checkpoint):
    parser = ArgumentParser()
    command = parser.add_subparsers(parser_class=MixedParser).add_parser("derive")
    add_model(command, "a config", "a checkpoint")
    command.add_argument("--tta", action="store_true")
    command.add_argument("--scales", nargs="*")
    args = parser.parse_args(["derive", *words.split()])
    assert (args.config, args.checkpoint) == (config, checkpoint)
