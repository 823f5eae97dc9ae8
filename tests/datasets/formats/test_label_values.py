"""Values of label maps are those of the file, for any number of bits."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmproscale.datasets.formats.label_values import label_values


def png(values, bits: int, palette: bool = False) -> bytes:
    """Write a PNG of 1, 2, 4 or 8 bits, which Pillow itself does not write."""
    rows = [
        b"\0" + np.packbits([int(b) for v in row for b in format(v, f"0{bits}b")]).tobytes()
        for row in values
    ]
    head = struct.pack(">2I5B", len(values[0]), len(values), bits, 3 if palette else 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    if palette:
        parts.insert(1, (b"PLTE", bytes(3 * 2**bits)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


@pytest.mark.parametrize("palette", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_values_of_few_bits_are_not_stretched(bits, palette):
    top = 2**bits - 1
    values = [[0, 1, top, top // 2] * 2, [top] * 8]
    found = label_values(png(values, bits, palette))
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
