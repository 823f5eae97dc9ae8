"""PNGs of 1, 2, 4 or 8 bits, which Pillow itself does not write."""

import struct
import zlib

import numpy as np


def few_bits_png(values, bits: int, palette: bool = False) -> bytes:
    """Return the bytes of a grey PNG, or of one with a palette."""
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
