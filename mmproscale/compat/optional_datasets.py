"""The fork's remark on stdout that its optional OneDL datasets are absent stays off it.

Its `datasets` packages log it at level DEBUG to no logger, which mmengine takes for `print`: on
stdout of any program, JSON or not, that imports them.
"""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from mmproscale.compat.after_import import import_within

PACKAGES = ("mmdet.datasets", "mmseg.datasets")
REMARK = "Could not import OneDL"


def keep_remarks_off_stdout() -> None:
    """Have the packages that make the remark imported without it; once."""
    for name in PACKAGES:
        import_within(name, without_remark)


@contextmanager
def without_remark() -> Iterator[None]:
    """Print what is printed inside, but for the remark, at the end."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        lines = printed.getvalue().splitlines(keepends=True)
        sys.stdout.write("".join(line for line in lines if not line.startswith(REMARK)))
