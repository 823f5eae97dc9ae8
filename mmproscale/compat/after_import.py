"""Do something right after, or around, a module's import, without importing it for that."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Callback = Callable[[ModuleType], None]


class AfterImportFinder(MetaPathFinder):
    """The first finder to be asked for one module: finds it as usual; its loader reports."""

    def __init__(
        self,
        module_name: str,
        callback: Callback,
        context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.module_name, self.callback, self.context = module_name, callback, context

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the module's usual spec, its loader calling back after execution."""
        if fullname != self.module_name or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)  # for a moment, so that the usual finders answer
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)  # to be found is not yet to be imported
        if spec is not None and spec.loader is not None:
            self._report_from(spec.loader)
        return spec

    def _report_from(self, loader: Any) -> None:
        execute = loader.exec_module

        def execute_and_report(module: ModuleType) -> None:
            with self.context():
                execute(module)
            sys.meta_path.remove(self)
            self.callback(module)

        loader.exec_module = execute_and_report


def call_after_import(module_name: str, callback: Callback) -> None:
    """Call `callback(module)` when `module_name` has been imported; at once if it already is."""
    if module_name in sys.modules:
        callback(sys.modules[module_name])
        return
    _wait_for(AfterImportFinder(module_name, callback))


def import_within(module_name: str, context: Callable[[], AbstractContextManager[Any]]) -> None:
    """Execute `module_name`, when it is imported, inside `context()`."""
    if module_name not in sys.modules:
        _wait_for(AfterImportFinder(module_name, lambda module: None, context))


def _wait_for(finder: AfterImportFinder) -> None:
    waiting = [f for f in sys.meta_path if isinstance(f, AfterImportFinder)]
    if all(other.module_name != finder.module_name for other in waiting):
        sys.meta_path.insert(0, finder)
