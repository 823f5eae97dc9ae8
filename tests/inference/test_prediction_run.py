"""Runs over many images: order, parts, readers, failures, and frames of videos."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mmproscale.errors import InputError
from mmproscale.inference.image_sources import Video
from mmproscale.inference.prediction_run import (
    load_frames,
    load_still_images,
    not_done,
    predict_into,
    still_images,
)


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    paths = [tmp_path / f"{index}.png" for index in range(5)]
    for index, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((6, 8, 3), index, np.uint8))
    paths[2].write_text("no image")
    return paths


@pytest.mark.parametrize("workers", [0, 2])
def test_images_are_loaded_in_order_and_errors_are_kept(photos, workers):
    stills = still_images(photos, [path.stem for path in photos], range(10, 15))
    loaded = list(load_still_images(stills, workers))
    assert [one.image_id for one in loaded] == [10, 11, 12, 13, 14]
    assert [one.error is None for one in loaded] == [True, True, False, True, True]
    assert "2.png" in str(loaded[2].error)
    assert loaded[3].image.pixels.shape == (6, 8, 3) and (loaded[3].image.pixels == 3).all()


def test_parts_hold_every_image_once(photos):
    names = [path.stem for path in photos]
    parts = [still_images(photos, names, range(5), (number, 3)) for number in (1, 2, 3)]
    assert [[one.place for one in part] for part in parts] == [[0, 3], [1, 4], [2]]


class Recorder:
    """Predictor and folder that note what they are given."""

    def __init__(self):
        self.batches, self.added, self.done = [], [], set()

    def predict(self, images):
        self.batches.append([image.name for image in images])
        if "3" in self.batches[-1]:
            raise InputError("3.png is too thin")
        return [image.name for image in images]

    def add(self, result, image_id, place):
        self.added.append((result, image_id, place))


def test_a_broken_image_does_not_stop_its_batch(photos):
    recorder = Recorder()
    stills = still_images(photos, [path.stem for path in photos], range(5))
    failures = list(predict_into(recorder, recorder, load_still_images(stills), batch_size=3))
    assert recorder.batches == [["0", "1"], ["3", "4"], ["3"], ["4"]]
    assert recorder.added == [(str(n), n, n) for n in (0, 1, 4)]
    assert "2.png" in str(failures[0][0]) and str(failures[1][0]) == "3.png is too thin"


def test_batches_stay_whole_when_a_run_is_resumed(photos):
    """The last digits of a result depend on the images of its batch."""
    stills = still_images(photos, [path.stem for path in photos], range(5))
    left = not_done(stills, {"0", "1", "2"}, batch_size=2)
    assert [one.image.name for one in left] == ["2", "3", "4"]
    recorder = Recorder()
    recorder.done = {"0", "1", "4"}
    stills = [stills[0], stills[1], stills[4], still_images(photos[:1], ["5"], [5])[0]]
    list(predict_into(recorder, recorder, load_still_images(stills), 2))
    assert recorder.batches == [["4", "5"]]
    assert [name for name, *_ in recorder.added] == ["5"]


def test_frames_have_numbers_of_their_own(tmp_path):
    for name in ("a", "b"):
        writer = cv2.VideoWriter(
            str(tmp_path / f"{name}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 32)
        )
        for _ in range(4):
            writer.write(np.zeros((32, 32, 3), np.uint8))
        writer.release()
    videos = [Video(tmp_path / "a.avi"), Video(tmp_path / "b.avi", fps=5)]
    frames = {one.image.name: one.image_id for one in load_frames(videos, first=3)}
    assert list(frames) == [*(f"a-00000{i}" for i in range(4)), "b-000000", "b-000002"]
    assert list(frames.values())[:4] == [4, 5, 6, 7] and len(set(frames.values())) == 6
    assert videos[1].rate() == pytest.approx(5)
