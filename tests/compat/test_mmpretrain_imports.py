"""mmpretrain imports without torchvision, which others still lack, and next to transformers 5."""

import importlib.util
import subprocess
import sys
import types

import pytest

from mmproscale.compat.mmpretrain_imports import NAMES, torchvision_or_stand_in

ABSENT = importlib.util.find_spec("torchvision") is None
needs_absence = pytest.mark.skipif(not ABSENT, reason="torchvision is installed")


@needs_absence
def test_stands_in_for_a_moment_and_says_on_use_what_is_missing():
    with torchvision_or_stand_in():
        import torchvision.ops.boxes as boxes
    assert not set(NAMES) & set(sys.modules)
    assert importlib.util.find_spec("torchvision") is None
    with pytest.raises(RuntimeError, match=r"torchvision is not installed; .*box_iou needs it"):
        boxes.box_iou(1, 2)


@needs_absence
def test_leaves_nothing_behind_where_the_import_fails():
    with pytest.raises(ZeroDivisionError), torchvision_or_stand_in():
        raise ZeroDivisionError
    assert not set(NAMES) & set(sys.modules)


def test_an_installed_torchvision_stays(monkeypatch):
    real = types.ModuleType("torchvision")
    monkeypatch.setitem(sys.modules, "torchvision", real)
    with torchvision_or_stand_in():
        assert sys.modules["torchvision"] is real
    assert sys.modules["torchvision"] is real


@pytest.mark.skipif(importlib.util.find_spec("mmpretrain") is None, reason="no mmpretrain")
def test_mmpretrain_builds_a_backbone():
    code = (
        "import mmproscale, sys, importlib.util\n"
        "before = importlib.util.find_spec('torchvision')\n"
        "import mmpretrain.models\n"
        "from mmengine.registry import MODELS\n"
        "assert MODELS.build(dict(type='mmpretrain.MViT', arch='tiny')).num_scales == 4\n"
        "assert (importlib.util.find_spec('torchvision') is None) == (before is None)\n"
        "from mmproscale.compat.mmpretrain_imports import transformers_is_too_new\n"
        "from mmpretrain.utils.dependency import WITH_MULTIMODAL\n"
        "assert not (WITH_MULTIMODAL and transformers_is_too_new())\n"
        "assert not [f for f in sys.meta_path if 'mmpretrain' in getattr(f, 'module_name', '')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
