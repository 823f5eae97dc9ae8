"""What is missing or too old is said in one line, by import name."""

import subprocess
import sys

import pytest

from mmproscale.compat import versions

STOCK = {"torch": "2.13.0", "mmengine": "0.10.7", "mmcv": "2.1.0", "mmdet": "3.3.0"}


@pytest.fixture
def installed(monkeypatch):
    """Pretend that just these versions are installed."""

    def pretend(**found: str | None) -> None:
        table = {**STOCK, "mmseg": "1.2.2", **found}
        monkeypatch.setattr(versions, "installed_version", table.get)

    return pretend


def message() -> str:
    with pytest.raises(ImportError) as caught:
        versions.check_versions()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_here_all_is_well():
    versions.check_versions()


def test_versions_are_read_without_importing():
    assert versions.installed_version("mmengine").count(".") >= 1
    assert versions.installed_version("no_such_package") is None


def test_names_everything_missing_at_once(installed):
    installed(mmcv=None, mmdet=None)
    assert "mmcv is not installed; mmdet is not installed" in message()


def test_names_what_is_too_old(installed):
    installed(torch="2.1.0+cu118")
    assert "torch 2.1.0+cu118 is older than 2.6" in message()


def test_mmseg_is_optional(installed):
    installed(mmseg=None)
    versions.check_versions()


def test_stock_refuses_mmcv_2_2(installed):
    installed(mmcv="2.2.0", mmseg=None)
    assert "mmdet 3.3.0 refuses mmcv 2.2.0" in message()


def test_the_fork_goes_through(installed):
    installed(mmengine="0.10.12", mmcv="2.3.6", mmdet="3.5.1", mmseg="1.4.2")
    versions.check_versions()


def test_advice_goes_on_with_the_stack_that_is_there(installed, monkeypatch):
    installed(mmdet=None)
    monkeypatch.setattr(versions, "installed_stacks", dict)
    assert message().endswith("'mmproscale[openmmlab]' or 'mmproscale[onedl]')")
    monkeypatch.setattr(versions, "installed_stacks", lambda: {"onedl": []})
    assert message().endswith("pip install 'mmproscale[onedl]')")


def test_says_when_setuptools_is_too_new(installed, monkeypatch):
    installed()
    monkeypatch.setattr(versions, "_mmengine_uses_pkg_resources", lambda: True)
    find_spec = versions.importlib.util.find_spec
    monkeypatch.setattr(
        versions.importlib.util,
        "find_spec",
        lambda name: None if name == "pkg_resources" else find_spec(name),
    )
    assert "install 'setuptools<81'" in message()


def test_import_is_light_and_makes_the_scope_known():
    code = (
        "import sys, mmproscale\n"
        "heavy = {'torch', 'mmcv', 'mmdet', 'mmseg', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from mmengine.registry import MODELS\n"
        "assert 'mmproscale' in MODELS.children\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
