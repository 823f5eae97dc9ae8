"""Corrections of the onedl fork: its `mmseg::` configs, and a remark that it prints on import.

Its `datasets` packages log at level DEBUG, to no logger, that optional OneDL datasets are absent.
mmengine prints such a log, so it would reach the stdout of every program that imports them.
"""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import ModuleType

from mmproscale.compat.import_hooks import call_after_import, import_within
from mmproscale.compat.installed_packages import stack

PACKAGES = ("mmdet.datasets", "mmseg.datasets")
REMARK = "Could not import OneDL"


def correct_fork() -> None:
    """Apply both corrections when the modules in question are imported."""
    for name in PACKAGES:
        import_within(name, without_remark)
    if stack() == "onedl":
        call_after_import("mmengine.config.utils", _find_configs_by_import_name)


@contextmanager
def without_remark() -> Iterator[None]:
    """Hold back what is printed inside, and print it at the end without the remark."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        lines = printed.getvalue().splitlines(keepends=True)
        sys.stdout.write("".join(line for line in lines if not line.startswith(REMARK)))


def _find_configs_by_import_name(module: ModuleType) -> None:
    # mmengine looks for `mmseg::...` in the package mmsegmentation, which only the stock stack has.
    module.MODULE2PACKAGE["mmseg"] = "mmseg"
