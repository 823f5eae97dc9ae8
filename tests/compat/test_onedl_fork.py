"""Corrections of the fork: its remark stays off stdout, and its `mmseg::` configs are found."""

import subprocess
import sys

import pytest
from mmengine.config import Config

from mmproscale.compat.onedl_fork import correct_fork, without_remark


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


def test_a_config_of_mmseg_is_found(tmp_path):
    correct_fork()
    path = tmp_path / "mine.py"
    path.write_text(
        '_base_ = "mmseg::mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py"\n'
    )
    assert Config.fromfile(path).model.decode_head.num_classes == 19
