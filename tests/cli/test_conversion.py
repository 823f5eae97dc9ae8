"""Shared parts of the dataset tools: destinations, results, splits that exist already."""

from argparse import ArgumentParser, Namespace
from functools import partial

import numpy as np
import pytest

from mmproscale.cli.conversion import (
    add_output_options,
    convert_public_dataset,
    destination_of,
    make_shapes_with_progress,
    write_and_report,
)
from mmproscale.datasets.conversion.output import Conversion, Destination, PanopticImage
from mmproscale.datasets.shapes.generation import ShapesSpec
from mmproscale.errors import InputError

CATEGORIES = [dict(id=1, name="car", isthing=1), dict(id=2, name="sky", isthing=0)]


def void_image(number):
    ids = np.zeros((2, 2), np.int32)
    return PanopticImage(number, f"{number}.jpg", f"{number}.png", ids, {})


def options(*words):
    parser = ArgumentParser()
    add_output_options(parser)
    return parser.parse_args(words)


def test_destinations_follow_the_options(tmp_path):
    destination = destination_of(options("--out", str(tmp_path)))
    assert destination.json_path == tmp_path / "annotations" / "panoptic_train.json"
    assert destination.image_folder is None
    words = ("--out", str(tmp_path), "--split", "val", "--copy-images")
    destination = destination_of(options(*words))
    assert destination.png_folder == tmp_path / "annotations" / "panoptic_val"
    assert destination.image_folder == tmp_path / "val"
    destination.png_folder.mkdir(parents=True)
    destination.json_path.write_text("{}")
    with pytest.raises(InputError, match=r"panoptic_val\.json exists: .*--overwrite"):
        destination_of(options(*words))
    assert destination_of(options(*words, "--overwrite")) == destination


def test_results_are_counted(tmp_path, capsys):
    conversion = Conversion([1, 2, 3], void_image, CATEGORIES, Destination(tmp_path / "a"))
    write_and_report(conversion, workers=1)
    captured = capsys.readouterr()
    assert captured.out == (
        f"wrote {tmp_path}/a.json: 3 images, 0 segments, 1 things and 1 stuff classes\n"
    )
    assert "3/3" in captured.err


def test_existing_splits_are_kept_and_each_is_converted_once(tmp_path, capsys):
    def place(root, split):
        return Destination(root / split)

    def prepare(root, split):
        prepared.append(split)
        return Conversion([1], void_image, CATEGORIES, place(root, split))

    prepared: list[str] = []
    (tmp_path / "val.json").write_text("old")
    args = partial(Namespace, root=tmp_path, splits=["train", "val", "train"], workers=1)
    convert_public_dataset(args(overwrite=False), place, prepare)
    assert prepared == ["train"] and (tmp_path / "val.json").read_text() == "old"
    assert "already there" in capsys.readouterr().out
    convert_public_dataset(args(overwrite=True), place, prepare)
    assert prepared == ["train", "train", "val"]


def test_shapes_are_made_once(tmp_path, capsys):
    spec = ShapesSpec(train=2, val=1, size=64)
    make_shapes_with_progress(tmp_path / "s", spec, overwrite=False)
    captured = capsys.readouterr()
    assert captured.out == f"made {tmp_path}/s: 2 + 1 images\n" and "2/2" in captured.err
    make_shapes_with_progress(tmp_path / "s", spec, overwrite=False)
    assert capsys.readouterr().out == f"already there: {tmp_path}/s: 2 + 1 images\n"
