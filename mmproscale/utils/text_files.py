"""Text files that people write: UTF-8, or another encoding that a byte-order mark names."""

import codecs
import os
from pathlib import Path

from mmproscale.errors import InputError

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(path: str | os.PathLike) -> str:
    """Read a text file.

    Raises:
        InputError: The file is missing or cannot be read, or it is neither UTF-8 nor marked.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        problem = f"{error.reason} at byte {error.start}"
        raise InputError(f"'{path}' is not {encoding} ({problem}): save it as UTF-8") from error
