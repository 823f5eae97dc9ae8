"""torchrun with one line: processes that end well, fail, or are lost."""

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmproscale.cli.launch import _exit_with
from mmproscale.utils.processes import LOST

LAUNCH = Path(__file__).resolve().parents[2] / "tools" / "launch.py"
SCRIPT = """
import os, signal, sys, time
rank = int(os.environ["RANK"])
open(f"{os.path.dirname(__file__)}/{rank}", "w").write(os.environ["WORLD_SIZE"])
assert os.environ["MMPROSCALE_LAUNCHED"]
"""


def failures(**statuses: int):
    """Failures by rank, the first one first."""
    return [
        (int(name[1:]), SimpleNamespace(exitcode=status, timestamp=order))
        for order, (name, status) in enumerate(statuses.items())
    ]


@pytest.mark.parametrize(
    ("failed", "status", "line"),
    [
        (failures(r1=-9), 137, "process 1 was lost: killed by SIGKILL, often for lack of memory"),
        (failures(r0=LOST, r2=-11, r1=1), 139, "process 2 was lost: killed by SIGSEGV"),
        (failures(r3=1, r0=-15), 1, "process 3 failed with exit status 1, for the reason above"),
        (failures(r0=LOST, r1=LOST), LOST, "a process on another machine was lost"),
        (failures(r1=2, r0=LOST), 2, ""),
    ],
)
def test_the_first_failure_that_is_no_consequence_counts(failed, status, line, capsys):
    with pytest.raises(SystemExit) as stop:
        _exit_with(failed)
    assert stop.value.code == status
    error = capsys.readouterr().err
    assert error.startswith(f"error: {line}" if line else "") and error.count("\n") == bool(line)


def launch(tmp_path: Path, script: str) -> subprocess.CompletedProcess:
    """Run a script on two processes."""
    file = tmp_path / "script.py"
    file.write_text(SCRIPT + script)
    command = [sys.executable, LAUNCH, "--nproc-per-node", "2", file]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


@pytest.mark.slow
def test_processes_that_end_well(tmp_path):
    done = launch(tmp_path, "")
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / str(rank)).read_text() for rank in range(2)] == ["2", "2"]


@pytest.mark.slow
def test_a_killed_process_ends_the_other_with_one_line(tmp_path):
    started = time.monotonic()
    wait = "if rank == 1: os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(600)\n"
    done = launch(tmp_path, wait)
    assert done.returncode == 137
    line = "error: process 1 was lost: killed by SIGKILL, often for lack of memory; the other "
    assert [text for text in done.stderr.splitlines() if "rror" in text] == [
        f"{line}processes were ended"
    ]
    assert done.stderr.splitlines()[-1].startswith(line)
    assert time.monotonic() - started < 120, "start and end; the end takes less than 30 s"


@pytest.mark.slow
def test_machines_that_do_not_meet_are_one_line(tmp_path):
    meeting = ["--nnodes", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:1"]
    command = [
        sys.executable,
        LAUNCH,
        *meeting,
        "--rdzv-conf",
        "is_host=0,read_timeout=2",
        "script.py",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: the 2 machines did not meet at 127.0.0.1:1 (")
    assert "Traceback" not in done.stderr
