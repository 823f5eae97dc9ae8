"""Calling back after an import, without importing."""

import importlib
import importlib.util
import sys

import pytest

from mmproscale.compat.after_import import AfterImportFinder, call_after_import


def waiting_for(name: str) -> list[AfterImportFinder]:
    return [f for f in sys.meta_path if getattr(f, "module_name", None) == name]


@pytest.fixture
def module_name(tmp_path, monkeypatch):
    (tmp_path / "imported_later.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "imported_later"
    sys.modules.pop("imported_later", None)
    for finder in waiting_for("imported_later"):
        sys.meta_path.remove(finder)


def test_calls_once_after_the_module_has_run(module_name):
    seen = []
    call_after_import(module_name, lambda module: seen.append(module.value))
    call_after_import(module_name, lambda module: seen.append("again"))
    assert importlib.util.find_spec(module_name) is not None
    assert seen == []
    importlib.import_module(module_name)
    assert seen == [1]
    assert waiting_for(module_name) == []


def test_calls_at_once_where_it_is_imported_already(module_name):
    importlib.import_module(module_name)
    seen = []
    call_after_import(module_name, lambda module: seen.append(module.value))
    assert seen == [1]
