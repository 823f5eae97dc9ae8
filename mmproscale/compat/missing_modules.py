"""Serve our stand-in for a module that is not installed, and never for one that is."""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

_HERE = Path(__file__).parent

STAND_INS = {
    "mmcv._ext": _HERE / "mmcv_ext.py",
    "panopticapi": _HERE / "panopticapi" / "__init__.py",
    "panopticapi.utils": _HERE / "panopticapi" / "utils.py",
    "panopticapi.evaluation": _HERE / "panopticapi" / "evaluation.py",
}


class MissingModuleFinder(MetaPathFinder):
    """The last finder to be asked, so that whatever is really installed is found before us."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the spec of our stand-in for `fullname`, or None where we have none."""
        file = STAND_INS.get(fullname)
        if file is None:
            return None
        folder = [str(file.parent)] if file.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, file, submodule_search_locations=folder
        )


def install_stand_ins() -> None:
    """Append the finder to `sys.meta_path`, once."""
    if not any(isinstance(finder, MissingModuleFinder) for finder in sys.meta_path):
        sys.meta_path.append(MissingModuleFinder())
