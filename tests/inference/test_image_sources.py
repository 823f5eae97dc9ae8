"""Images from files, memory and videos."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmproscale.errors import InputError
from mmproscale.inference import image_sources
from mmproscale.inference.image_sources import (
    InputImage,
    Video,
    in_memory,
    input_images,
    is_many,
    read_image,
)

RGB = np.random.default_rng(0).integers(0, 255, (8, 12, 3), dtype=np.uint8)
BGR = RGB[..., ::-1]
ALPHA = np.concatenate([RGB, RGB[..., :1]], axis=2)


@pytest.mark.parametrize(
    "image",
    [RGB, ALPHA, Image.fromarray(RGB), torch.tensor(RGB).permute(2, 0, 1)],
    ids=["array", "with alpha", "Pillow", "tensor"],
)
def test_images_in_memory_have_the_same_pixels(image):
    assert (in_memory(image) == BGR).all()


def test_floats_grey_and_bgr():
    assert (in_memory(torch.tensor(RGB).permute(2, 0, 1) / 255) == BGR).all()
    assert (in_memory(BGR, bgr=True) == BGR).all()
    assert (in_memory(RGB[..., 0]) == RGB[..., :1]).all()


def test_a_pillow_image_is_turned_as_its_exif_says():
    sideways = Image.fromarray(RGB)
    sideways.getexif()[274] = 6  # a quarter turn
    assert (in_memory(sideways) == np.rot90(BGR, -1)).all()


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (RGB / 255, "an image array of float64"),
        (RGB[None], r"shape \(1, 8, 12, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), "uint8"),
        (torch.tensor(RGB), r"tensor of shape \(8, 12, 3\): give \(3, H, W\)"),
        (torch.full((3, 4, 4), -2.0), "values from -2 to -2"),
        ({"img": RGB}, "an image of type dict"),
    ],
)
def test_other_things_are_refused(image, text):
    with pytest.raises(InputError, match=text):
        in_memory(image)


def test_a_list_keeps_its_order_and_names(tmp_path):
    cv2.imwrite(str(tmp_path / "b.png"), BGR)
    found = list(input_images([RGB, tmp_path / "b.png", Image.fromarray(RGB)]))
    assert [image.name for image in found] == ["image-000000", "b", "image-000002"]
    with pytest.raises(InputError, match=r"c\.png not found"):
        list(input_images([tmp_path / "c.png"]))


def test_a_missing_source_is_named_at_once():
    for name in ("c.png", "c.mp4", "no_folder/*.jpg"):
        with pytest.raises(InputError, match=name.replace("*", ".")):
            input_images(name)


def test_an_absent_webcam_is_one_line(capfd):
    with pytest.raises(
        InputError, match="webcam 99 can't be read: give the number of a connected camera"
    ):
        input_images(99)
    assert capfd.readouterr() == ("", "")


def test_frames_of_a_video(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    for level in (0, 100, 200):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    frames = list(input_images(path))
    assert [frame.name for frame in frames] == [f"clip-00000{i}" for i in range(3)]
    assert [round(float(frame.pixels.mean())) for frame in frames] == pytest.approx(
        [0, 100, 200], abs=3
    )
    assert is_many(path) and not is_many(RGB)
    assert (Video(path).count(), Video(path, fps=2.5).count(), Video(0).count()) == (3, 2, None)


def test_a_video_without_frames_is_named(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=r"empty\.mp4 has no frame"):
        list(input_images(tmp_path / "empty.mp4"))
    with pytest.raises(InputError, match="an address"):
        list(input_images("rtsp://camera/stream"))


@pytest.mark.parametrize("name", ["a.tif", "a.gif"])
def test_the_first_of_several_pages_is_read_and_said(tmp_path, monkeypatch, name):
    said = []
    monkeypatch.setattr(image_sources, "print_log", lambda text, **options: said.append(text))
    pages = [Image.new("RGB", (6, 4), color) for color in ("red", "blue", "green")]
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    pixels = read_image(InputImage("a", tmp_path / name))
    assert pixels.shape == (4, 6, 3) and (pixels[..., 2] > 200).all(), "the red page, as BGR"
    assert len(said) == 1 and f"{name} has 3 pages or frames: only the first" in said[0]
    pages[0].save(tmp_path / name)
    read_image(InputImage("a", tmp_path / name))
    assert len(said) == 1


def test_16_bits_that_are_hardly_used_are_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(image_sources, "print_log", lambda text, **_: said.append(text))
    values = np.linspace(0, 4095, 24).reshape(4, 6).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read_image(InputImage("a", tmp_path / "a.png")).max() == 15
    assert len(said) == 1 and "uses 1/16 of their range (highest value 4095)" in said[0]
