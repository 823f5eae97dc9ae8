"""Import hooks: act when a module is imported, and supply modules that are not installed."""

import importlib.util
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_HERE = Path(__file__).parent
STAND_INS = {
    "mmcv._ext": _HERE / "mmcv_ext.py",
    "panopticapi": _HERE / "panopticapi" / "__init__.py",
    "panopticapi.utils": _HERE / "panopticapi" / "utils.py",
    "panopticapi.evaluation": _HERE / "panopticapi" / "evaluation.py",
}

Callback = Callable[[ModuleType], None]
Context = Callable[[], AbstractContextManager[Any]]


class ImportWatcher(MetaPathFinder):
    """Finder for one module, asked first: finds it as usual and acts when it is executed.

    The module is executed inside ``context()``; ``callback(module)`` follows.
    """

    def __init__(self, module_name: str, callback: Callback, context: Context) -> None:
        self.module_name, self.callback, self.context = module_name, callback, context

    def find_spec(self, fullname: str, *_: Any) -> ModuleSpec | None:
        """Return the module's usual spec, with a loader that also acts."""
        if fullname != self.module_name or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)  # for a moment, so that the usual finders answer
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)  # finding a module does not import it yet
        if spec is not None and spec.loader is not None:
            self._act_in(spec.loader)
        return spec

    def _act_in(self, loader: Any) -> None:
        execute = loader.exec_module

        def execute_and_act(module: ModuleType) -> None:
            with self.context():
                execute(module)
            sys.meta_path.remove(self)
            self.callback(module)

        loader.exec_module = execute_and_act


class StandInFinder(MetaPathFinder):
    """Finder of our stand-ins, asked last: modules that are installed are found before."""

    def find_spec(self, fullname: str, *_: Any) -> ModuleSpec | None:
        """Return the spec of our stand-in for `fullname`, or None where we have none."""
        file = STAND_INS.get(fullname)
        if file is None:
            return None
        folder = [str(file.parent)] if file.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, file, submodule_search_locations=folder
        )


def call_after_import(module_name: str, callback: Callback) -> None:
    """Call `callback(module)` when `module_name` has been imported; at once if it already is."""
    if module_name in sys.modules:
        callback(sys.modules[module_name])
    else:
        _watch(ImportWatcher(module_name, callback, nullcontext))


def import_within(module_name: str, context: Context) -> None:
    """Execute `module_name` inside `context()` when it is imported."""
    if module_name not in sys.modules:
        _watch(ImportWatcher(module_name, lambda module: None, context))


def install_stand_ins() -> None:
    """Supply our stand-ins for modules that are not installed. A second call changes nothing."""
    if not any(isinstance(finder, StandInFinder) for finder in sys.meta_path):
        sys.meta_path.append(StandInFinder())


def _watch(watcher: ImportWatcher) -> None:
    watchers = [finder for finder in sys.meta_path if isinstance(finder, ImportWatcher)]
    if all(other.module_name != watcher.module_name for other in watchers):
        sys.meta_path.insert(0, watcher)
