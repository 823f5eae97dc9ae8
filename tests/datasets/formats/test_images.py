"""Image files: upright size and pixels, and faults of reading them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from mmproscale.datasets.conversion.source_files import image_size
from mmproscale.datasets.formats.images import (
    decode_image,
    exif_orientation,
    image_faults,
    size_faults,
    unreadable,
)
from mmproscale.datasets.loading.transforms import LoadImage


def save(path, turn: int | None = None, size=(6, 4)) -> str:
    exif = Image.Exif()
    if turn is not None:
        exif[ExifTags.Base.Orientation] = turn
    Image.new("RGB", size).save(path, exif=exif)
    return str(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize(
    ("turn", "size"),
    [(None, (4, 6)), (1, (4, 6)), (3, (4, 6)), (6, (6, 4)), (8, (6, 4)), (99, (4, 6))],
)
def test_every_reader_turns_an_image_as_its_exif_says(tmp_path, suffix, turn, size):
    path = save(tmp_path / f"a.{suffix}", turn)
    assert decode_image((tmp_path / f"a.{suffix}").read_bytes()).shape == (*size, 3)
    assert image_size(Path(path)) == size
    assert LoadImage()(dict(img_path=path))["ori_shape"] == size
    assert not list(image_faults(path, size))
    with Image.open(path) as image:
        assert exif_orientation(image) == (turn if turn in range(1, 9) else 1)


@pytest.mark.parametrize("data", [b"", b"not an image"])
def test_other_files_are_not_decoded(data):
    assert decode_image(data) is None


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (None, "image-missing", "No such file"),
        (b"", "image-empty", "it is an empty file"),
        (b"text", "image-unreadable", "cut short or not an image"),
    ],
)
def test_a_broken_image_has_one_fault(tmp_path, data, kind, reason):
    path = tmp_path / "a.jpg"
    if data is not None:
        path.write_bytes(data)
    (fault,) = image_faults(str(path), (4, 6))
    assert fault.kind == kind and fault.file == str(path) and reason in fault.problem


def test_an_image_of_another_size_than_its_annotation(tmp_path):
    path = save(tmp_path / "a.jpg", turn=6)
    (fault,) = image_faults(path, (4, 6))
    assert fault.kind == "image-size" and "is 4x6 pixels but its annotation is 6x4" in fault.problem
    assert "EXIF" in fault.action


def test_only_swapped_sides_suggest_exif():
    assert not list(size_faults("png", "a.png", (4, 6, 3), (4, 6), "its image"))
    (fault,) = size_faults("png", "a.png", np.zeros((4, 7)).shape, (4, 6), "its image")
    assert fault.kind == "png-size" and "EXIF" not in fault.action


def test_the_systems_reason_is_stated():
    fault = unreadable("map", "/maps/a.png", PermissionError(13, "Permission denied"))
    assert fault.kind == "map-unreadable" and "(Permission denied)" in fault.problem


@pytest.mark.parametrize(
    ("top", "part"), [(4095, 16), (1882, 16), (1000, 64), (9000, 4), (200, 256)]
)
def test_16_bits_that_are_hardly_used_are_noted(tmp_path, top, part):
    values = np.full((4, 6), top // 2, np.uint16)
    values[0, 0] = top
    Image.fromarray(values).save(tmp_path / "a.png")
    (note,) = image_faults(str(tmp_path / "a.png"), (4, 6))
    assert note.note and note.kind == "image-dark-16-bit"
    assert f"uses 1/{part} of their range (highest value {top})" in note.problem


@pytest.mark.parametrize(("top", "dtype"), [(60000, np.uint16), (20, np.uint8)])
def test_other_dark_images_are_not_noted(tmp_path, top, dtype):
    Image.fromarray(np.full((4, 6), top, dtype)).save(tmp_path / "a.png")
    assert not list(image_faults(str(tmp_path / "a.png"), (4, 6)))


@pytest.mark.parametrize("values", [np.linspace(0, 1, 24), np.linspace(-1e9, 1e9, 24)])
def test_float_values_are_named(tmp_path, values):
    Image.fromarray(values.reshape(4, 6).astype(np.float32)).save(tmp_path / "a.tif")
    (fault,) = image_faults(str(tmp_path / "a.tif"), (4, 6))
    assert fault.kind == "image-unreadable"
    assert "it has 32-bit float values: store 8 bits per channel" in fault.problem
