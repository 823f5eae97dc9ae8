"""Stand-ins are served where a module is missing, and never in place of a real one."""

import importlib.util
import sys

import pytest

from mmproscale.compat.missing_modules import (
    STAND_INS,
    MissingModuleFinder,
    install_stand_ins,
)


def our_finders() -> list[MissingModuleFinder]:
    return [finder for finder in sys.meta_path if isinstance(finder, MissingModuleFinder)]


def test_is_asked_last_and_only_once():
    install_stand_ins()
    install_stand_ins()
    assert len(our_finders()) == 1
    usual = [f for f in sys.meta_path if getattr(f, "__name__", "") == "PathFinder"]
    assert sys.meta_path.index(our_finders()[0]) > sys.meta_path.index(usual[0])


def test_knows_no_other_module():
    assert MissingModuleFinder().find_spec("panopticapi.nothing") is None


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
