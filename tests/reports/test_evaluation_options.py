"""Options that name an evaluation: the config's files, or given ones."""

from argparse import ArgumentParser

import pytest

from mmproscale.errors import InputError
from mmproscale.reports.evaluation_options import (
    _files,
    add_evaluation_options,
    check_evaluation_options,
)
from mmproscale.utils.config import load_config


def options(*words):
    parser = ArgumentParser()
    add_evaluation_options(parser)
    return parser.parse_args(words)


def test_files_are_those_of_the_test_data():
    config = load_config("m2f_r18_camvid")
    annotations = "data/camvid/annotations"
    expected = f"{annotations}/panoptic_val.json", f"{annotations}/panoptic_val/"
    assert _files(options(), config) == (*expected, "data/camvid/val")
    given = options("--truth", "gt.json", "--images", "photos")
    assert _files(given, config) == ("gt.json", None, "photos")


def test_a_config_without_panoptic_truth_needs_one():
    config = load_config("dino_r18_shapes")
    with pytest.raises(InputError, match="has no panoptic metric: give --truth"):
        _files(options(), config)


def test_a_second_checkpoint_needs_a_config(tmp_path):
    (tmp_path / "other.pth").touch()
    files = "--predictions", "p.json", "--truth", "t.json", "--images", "i"
    given = options(*files, "--against", str(tmp_path / "other.pth"))
    with pytest.raises(InputError, match="--against CHECKPOINT needs a config"):
        check_evaluation_options(given, [])
