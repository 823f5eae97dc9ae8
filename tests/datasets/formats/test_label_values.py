"""Values of label maps are those of the file, for any number of bits."""

import io

import numpy as np
import pytest
from helpers.few_bits import few_bits_png
from PIL import Image

from mmproscale.datasets.formats.label_values import label_values


@pytest.mark.parametrize("palette", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_values_of_few_bits_are_not_stretched(bits, palette):
    top = 2**bits - 1
    values = [[0, 1, top, top // 2] * 2, [top] * 8]
    found = label_values(few_bits_png(values, bits, palette))
    assert found.dtype == np.uint8 and found.tolist() == values


def saved(pixels, form, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "GIF"])
def test_formats_without_loss_keep_every_value(form):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (label_values(saved(values, form)) == values).all()


def test_16_bits_and_colours_are_kept():
    wide = np.array([[0, 300], [70, 65535]], np.uint16)
    assert (label_values(saved(wide, "PNG")) == wide).all()
    colors = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert (label_values(saved(colors, "PNG")) == colors).all()


def test_lossy_and_broken_files_are_refused():
    values = np.zeros((4, 4), np.uint8)
    for form in ("JPEG", "WEBP"):
        with pytest.raises(ValueError, match=f"{form} changes the values"):
            label_values(saved(values, form))
    whole = saved(np.random.default_rng(0).integers(0, 9, (64, 64), np.uint8), "PNG")
    for data in (b"", b"<html>", whole[:20], whole[: len(whole) // 2]):
        with pytest.raises(OSError):
            label_values(data)
