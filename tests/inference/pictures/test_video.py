"""Videos of pictures of different sizes."""

import cv2
import numpy as np

from mmproscale.inference.image_sources import Video
from mmproscale.inference.pictures.video import write_video


def test_all_pictures_are_in_the_video(tmp_path):
    paths = []
    for index, size in enumerate([(48, 64), (60, 64), (48, 64)]):
        paths.append(tmp_path / f"{index}.jpg")
        cv2.imwrite(str(paths[-1]), np.full((*size, 3), 80 * index, np.uint8))
    write_video(tmp_path / "clip.mp4", paths, 5)
    frames = [image.pixels for image in Video(tmp_path / "clip.mp4").frames()]
    assert [frame.shape for frame in frames] == [(60, 64, 3)] * 3
    for index, frame in enumerate(frames):
        assert abs(float(frame[10:30].mean()) - 80 * index) < 6
    assert frames[0][55:].min() > 230, "a white edge"
