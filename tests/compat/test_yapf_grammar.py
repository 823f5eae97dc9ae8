"""Processes that import the package for the first time at once, each cache of the user empty."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROCESSES = 8
# Twenty by hand: FIRST_STARTS=20 pytest tests/compat/test_yapf_grammar.py
ROUNDS = int(os.environ.get("FIRST_STARTS", "2"))
# The moment between the renaming of a file and the rest of its writer's work.
SLOW_RENAMES = """
import os, time
for name in ("rename", "replace"):
    def slow(source, target, *, _rename=getattr(os, name), **options):
        _rename(source, target, **options)
        if str(target).endswith(".pickle"):
            time.sleep(0.3)
    setattr(os, name, slow)
"""


def start(folder: Path, **variables: str) -> subprocess.Popen:
    """Import the package and yapf in a new process, for which ``folder`` is home and all caches."""
    caches = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), str(folder))
    return subprocess.Popen(
        [sys.executable, "-c", "import mmproscale, yapf"],
        env={**os.environ, **caches, **variables},
        stderr=subprocess.PIPE,
        text=True,
    )


def failures(processes: list[subprocess.Popen]) -> list[str]:
    """Return what those that failed have said."""
    said = [process.communicate(timeout=240)[1] for process in processes]
    return [text for process, text in zip(processes, said, strict=True) if process.returncode]


@pytest.mark.slow
def test_first_starts_of_several_processes_at_once(tmp_path):
    failed = []
    for number in range(ROUNDS):
        home = tmp_path / str(number)
        failed += failures([start(home) for _ in range(PROCESSES)])
        assert list(home.glob("YAPF/*/*.pickle")), "the cache is where this test empties it"
    print(f"{PROCESSES} first starts at once, {ROUNDS} times: {len(failed)} failures")
    assert failed == []


@pytest.mark.slow
def test_no_process_reads_a_file_that_another_one_has_not_finished(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SLOW_RENAMES)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    processes = [start(tmp_path, PYTHONPATH=path) for _ in range(PROCESSES)]
    assert failures(processes) == []


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"\x80\x05 cut short"])
def test_a_broken_cache_is_written_again(tmp_path, content):
    assert failures([start(tmp_path)]) == []
    files = list(tmp_path.glob("YAPF/*/*.pickle"))
    whole = [file.read_bytes() for file in files]
    for file in files:
        file.write_bytes(content)
    assert failures([start(tmp_path)]) == []
    assert len(files) == 2 and [file.read_bytes() for file in files] == whole


@pytest.mark.slow
def test_a_cache_folder_that_cannot_be_written_does_not_matter(tmp_path):
    (tmp_path / "YAPF").write_text("a file, not a folder")
    assert failures([start(tmp_path)]) == []
