"""Import hooks: acting after an import without importing, and supplying missing modules."""

import importlib
import importlib.util
import sys
from contextlib import contextmanager

import pytest

from mmproscale.compat.import_hooks import (
    STAND_INS,
    ImportWatcher,
    StandInFinder,
    call_after_import,
    import_within,
    install_stand_ins,
)


def waiting_for(name: str) -> list[ImportWatcher]:
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


def test_a_module_is_executed_inside_the_context(module_name):
    seen = []

    @contextmanager
    def context():
        seen.append(module_name in sys.modules)
        yield
        seen.append(sys.modules[module_name].value)

    import_within(module_name, context)
    assert seen == []
    importlib.import_module(module_name)
    assert seen == [True, 1]
    assert waiting_for(module_name) == []


def our_finders() -> list[StandInFinder]:
    return [finder for finder in sys.meta_path if isinstance(finder, StandInFinder)]


def test_is_asked_last_and_only_once():
    install_stand_ins()
    install_stand_ins()
    assert len(our_finders()) == 1
    usual = [f for f in sys.meta_path if getattr(f, "__name__", "") == "PathFinder"]
    assert sys.meta_path.index(our_finders()[0]) > sys.meta_path.index(usual[0])


def test_knows_no_other_module():
    assert StandInFinder().find_spec("panopticapi.nothing") is None


@pytest.mark.parametrize("name", STAND_INS)
def test_every_stand_in_is_a_file(name):
    assert STAND_INS[name].is_file()


def test_a_real_module_wins(tmp_path, monkeypatch):
    package = tmp_path / "panopticapi"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "utils.py").write_text("real = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("panopticapi", "panopticapi.utils", "panopticapi.evaluation"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    from panopticapi import utils

    assert utils.real
    # Leave no half of a package behind for the tests after this one.
    for name in ("panopticapi", "panopticapi.utils"):
        del sys.modules[name]


def test_mmdet_finds_what_it_needs():
    from mmdet.datasets.transforms import LoadPanopticAnnotations
    from mmdet.evaluation.functional import panoptic_utils
    from mmdet.evaluation.metrics import CocoPanopticMetric

    assert panoptic_utils.PQStat is not None
    assert LoadPanopticAnnotations() is not None
    assert CocoPanopticMetric() is not None


def test_mmcv_ops_import():
    import mmcv.ops

    assert mmcv.ops.nms is not None
    assert importlib.util.find_spec("mmcv._ext") is not None
