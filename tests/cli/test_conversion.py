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


def image(number):
    ids = np.eye(2, dtype=np.int32)
    return PanopticImage(number, f"{number}.jpg", f"{number}.png", ids, {1: (1, 0)})


def faulty_image(number):
    raise InputError(f"image {number} has a fault")


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
    conversion = Conversion([1, 2, 3], image, CATEGORIES, Destination(tmp_path / "a"))
    write_and_report(lambda: conversion, workers=1)
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        f"wrote {tmp_path}/a.json: 3 images, 3 segments, 1 thing and 1 stuff class",
        "warning: 1 of 2 classes occur in no image: 'sky'",
        "3 shapes drawn, none left no pixel",
    ]
    assert "3/3" in captured.err


@pytest.mark.parametrize("count", [1, 3, 30])
def test_faults_are_listed_above_the_last_line(tmp_path, capsys, count):
    sources = range(1, count + 1)
    conversion = Conversion(sources, faulty_image, CATEGORIES, Destination(tmp_path / "a"))
    with pytest.raises(InputError, match="image 1 has a fault") as caught:
        write_and_report(lambda: conversion, workers=1)
    listed = capsys.readouterr().err.count("fault: image")
    assert listed == {1: 0, 3: 3, 30: 20}[count]
    endings = {
        3: "for 3 faults, all listed above",
        30: "for 30 faults, of which 20 are listed above",
    }
    assert str(caught.value).endswith(endings.get(count, "has a fault"))


def test_existing_splits_are_kept_and_each_is_converted_once(tmp_path, capsys):
    def place(root, split):
        return Destination(root / split)

    def prepare(root, split):
        prepared.append(split)
        return Conversion([1], image, CATEGORIES, place(root, split))

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
