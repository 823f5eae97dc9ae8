"""Text files in the encodings that systems write."""

import pytest

from mmproscale.errors import InputError
from mmproscale.utils.text_files import read_text

TEXT = "Straße\nBäume\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"]
)
def test_a_byte_order_mark_names_the_encoding(tmp_path, encoding):
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    (tmp_path / "a.txt").write_bytes((mark + TEXT).encode(encoding))
    assert read_text(tmp_path / "a.txt") == TEXT


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_other_encodings_are_refused_in_one_line(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes(TEXT.encode(encoding))
    with pytest.raises(InputError, match=r"\A.*a\.txt' is not utf-8 .*byte 4.*save it as UTF-8\Z"):
        read_text(tmp_path / "a.txt")


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt' cannot be read: No such file"):
        read_text(tmp_path / "none.txt")
