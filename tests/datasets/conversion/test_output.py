"""Output of the converters: PNGs first, the JSON last, and none after a fault."""

import json
import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
from helpers.panoptic_files import picture, read_truth

from mmproscale.datasets.conversion.output import (
    Conversion,
    Destination,
    PanopticImage,
    SourcesError,
    describe_segments,
    write_dataset,
)
from mmproscale.errors import InputError

CATEGORIES = [dict(id=5, name="car", isthing=1)]


def converted(number):
    """Return an image whose segment has as many pixels as its number."""
    ids = np.zeros((2, 3), np.int32)
    ids.ravel()[:number] = number
    return PanopticImage(number, f"{number}.jpg", f"{number}.png", ids, {number: (5, 0)})


def test_segments_have_area_and_box():
    ids = np.array([[0, 4, 4], [0, 4, 2]], np.int32)
    meaning = {2: (7, 1), 4: (5, 0), 9: (5, 0)}  # 9 has no pixels
    assert describe_segments(ids, meaning) == [
        dict(id=2, category_id=7, iscrowd=1, area=1, bbox=[2, 1, 1, 1]),
        dict(id=4, category_id=5, iscrowd=0, area=3, bbox=[1, 0, 2, 2]),
    ]


def test_json_and_pngs_agree_and_progress_counts(tmp_path):
    destination, seen = Destination(tmp_path / "v1.5"), []
    conversion = Conversion([3, 1], converted, CATEGORIES, destination)
    content = write_dataset(conversion, progress=lambda *state: seen.append(state)).content
    assert destination.json_path == tmp_path / "v1.5.json"
    assert json.loads(destination.json_path.read_text()) == content
    truths = read_truth(destination.json_path, destination.png_folder)
    assert list(truths) == [3, 1] and (truths[3].categories == [[5, 5, 5], [0, 0, 0]]).all()
    assert seen == [("v1.5", 1, 2), ("v1.5", 2, 2)]


def test_images_are_copied_from_files_and_bytes_but_not_onto_themselves(tmp_path):
    picture(tmp_path / "old.jpg", 2, 3)
    pictures = [tmp_path / "old.jpg", b"bytes"]

    def convert(index):
        return replace(converted(index), picture=pictures[index])

    destination = Destination(tmp_path / "png", tmp_path / "copies")
    conversion = Conversion([0, 1], convert, CATEGORIES, destination)
    write_dataset(conversion)
    copies = [tmp_path / "copies" / f"{index}.jpg" for index in (0, 1)]
    assert copies[0].read_bytes() == pictures[0].read_bytes()
    assert copies[1].read_bytes() == b"bytes"
    pictures[0] = copies[0]
    write_dataset(conversion)
    assert copies[0].read_bytes() == (tmp_path / "old.jpg").read_bytes()


@pytest.mark.parametrize("faults", [InputError("image 2 has a fault"), OSError(28, "disk full")])
def test_a_fault_leaves_everything_as_it_was(tmp_path, faults):
    def convert(number):
        if number == 2:
            raise faults
        return replace(converted(number), picture=b"picture")

    old = Destination(tmp_path / "png", tmp_path / "copies")
    old.png_folder.mkdir()
    for path in (old.json_path, old.png_folder / "1.png"):
        path.write_text("old")
    with pytest.raises(InputError, match=r"image 2|disk full"):
        write_dataset(Conversion([1, 2, 3], convert, CATEGORIES, old))
    assert {old.json_path.read_text(), (old.png_folder / "1.png").read_text()} == {"old"}
    new = Destination(tmp_path / "new/png", tmp_path / "new/copies")
    with pytest.raises(InputError):
        write_dataset(Conversion([1, 2, 3], convert, CATEGORIES, new))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["png", "png.json"]


def test_all_faults_are_reported_at_once(tmp_path):
    def convert(number):
        raise SourcesError([f"image {number} has a fault", f"image {number} has another"])

    conversion = Conversion([1, 2], convert, CATEGORIES, Destination(tmp_path / "png"))
    with pytest.raises(SourcesError, match="image 1 has a fault; 3 more faults") as caught:
        write_dataset(conversion)
    assert len(caught.value.messages) == 4
    assert pickle.loads(pickle.dumps(caught.value)).messages == caught.value.messages


def test_what_the_check_would_refuse_is_not_written(tmp_path):
    def convert(number):
        return replace(converted(number), file_name=f"../{number}.jpg")

    with pytest.raises(SourcesError, match=r"path-leaves-folder.*; 1 more faults"):
        write_dataset(Conversion([1, 2], convert, CATEGORIES, Destination(tmp_path / "png")))
    assert not list(tmp_path.iterdir())


def test_nothing_to_convert_keeps_what_is_there(tmp_path):
    destination = Destination(tmp_path / "png")
    destination.json_path.write_text("old")
    with pytest.raises(InputError, match=r"no image for .*png\.json"):
        write_dataset(Conversion([], converted, CATEGORIES, destination))
    assert destination.json_path.read_text() == "old"


def test_a_killed_process_is_reported(tmp_path):
    conversion = Conversion([1, 2], os._exit, CATEGORIES, Destination(tmp_path / "png"))
    with pytest.raises(InputError, match="one of 2 processes was killed"):
        write_dataset(conversion, workers=2)
    with pytest.raises(InputError, match="--workers 0"):
        write_dataset(conversion, workers=0)
