"""What the fork prints on import does not get among what a program prints."""

import subprocess
import sys

import pytest

from mmproscale.compat.optional_datasets import without_remark


def test_importing_datasets_prints_nothing():
    done = subprocess.run(
        [sys.executable, "-c", "import mmproscale; import mmdet.datasets, mmseg.datasets"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_only_the_remark_is_dropped(capsys):
    with pytest.raises(RuntimeError), without_remark():
        print("a\nCould not import OneDL. Skipping OneDL datasets.\nb")
        raise RuntimeError
    assert capsys.readouterr().out == "a\nb\n"
