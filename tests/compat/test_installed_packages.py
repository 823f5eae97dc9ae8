"""Installed stack and versions; mixed, missing and old packages are refused before any import."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

from mmproscale import compat
from mmproscale.compat import installed_packages

ROOT = Path(__file__).resolve().parents[2]
STOCK = {
    "mmengine": ("mmengine", "0.10.7"),
    "mmcv": ("mmcv-lite", "2.1.0"),
    "mmdet": ("mmdet", "3.3.0"),
}
VERSIONS = {"torch": "2.13.0", "mmengine": "0.10.7", "mmcv": "2.1.0", "mmdet": "3.3.0"}
FORK = {
    "mmengine": ("onedl-mmengine", "0.10.12"),
    "mmcv": ("onedl-mmcv", "2.3.6"),
    "mmdet": ("onedl-mmdetection", "3.5.1"),
}


def install(folder: Path, import_name: str, name: str, version: str) -> None:
    """A package that must not be imported, and its metadata, as pip writes them."""
    package = folder / import_name
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(f"raise RuntimeError('{import_name} was imported')\n")
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """A folder of packages, the only one that is searched for a stack's."""

    def find_spec(name: str):
        file = tmp_path / name / "__init__.py"
        return spec_from_file_location(name, file) if file.is_file() else None

    monkeypatch.setattr(installed_packages.importlib.util, "find_spec", find_spec)
    return tmp_path


@pytest.mark.parametrize("name, packages", [("openmmlab", STOCK), ("onedl", FORK)])
def test_tells_a_stack_by_its_distributions(site, name, packages):
    for import_name, (distribution_name, version) in packages.items():
        install(site, import_name, distribution_name, version)
    assert installed_packages.stack() == name
    assert installed_packages.installed_stacks().keys() == {name}
    assert installed_packages.mixture() is None
    ((found,),) = installed_packages.distributions_of("mmcv").values()
    assert (found.name, found.version) == packages["mmcv"]


def test_one_stack_may_lie_over_another_environments(site, monkeypatch, tmp_path_factory):
    below = tmp_path_factory.mktemp("below")
    for import_name, packages in STOCK.items():
        install(below, import_name, *packages)
        install(site, import_name, *FORK[import_name])
    monkeypatch.setattr(sys, "path", [str(site), str(below)])
    assert installed_packages.mixture() is None and installed_packages.stack() == "onedl"


def test_finds_the_metadata_of_an_editable_install(site, monkeypatch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("site-packages")
    install(elsewhere, "mmdet", *FORK["mmdet"])
    (site / "mmdet").mkdir()
    (site / "mmdet" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(elsewhere)])
    assert installed_packages.stack() == "onedl"


def test_names_other_than_a_stacks_have_no_distributions_here():
    assert installed_packages.distributions_of("numpy") == {}


@pytest.mark.parametrize(
    "import_name, more",
    [
        pytest.param("mmdet", STOCK["mmdet"], id="written over"),
        pytest.param("mmseg", ("mmsegmentation", "1.2.2"), id="one of the other"),
    ],
)
def test_a_mixture_names_the_distributions_of_both(site, import_name, more):
    for name, packages in FORK.items():
        install(site, name, *packages)
    install(site, import_name, *more)
    said = installed_packages.mixture()
    assert said is not None and "\n" not in said
    fork = "onedl-mmengine 0.10.12, onedl-mmcv 2.3.6, onedl-mmdetection 3.5.1"
    assert f"mixed, onedl ({fork}) and openmmlab ({' '.join(more)})" in said
    assert "into a new environment (in a checkout: pip install '.[openmmlab]' or" in said


def test_a_mixture_is_refused_before_anything_of_it_is_imported(tmp_path):
    install(tmp_path, "mmengine", *FORK["mmengine"])
    install(tmp_path, "mmdet", *STOCK["mmdet"])
    done = subprocess.run(
        [sys.executable, "-c", "import mmproscale"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("ImportError: mmproscale cannot run here: two stacks are mixed, onedl (")


def test_here_runs_what_is_installed():
    try:
        distribution("onedl-mmengine")
    except PackageNotFoundError:
        expected = "openmmlab"
    else:
        expected = "onedl"
    assert compat.stack() == expected
    assert compat.describe_stack().startswith(f"{expected}: mmengine 0.")


def test_every_module_imported_is_the_stacks_own():
    """No module comes from the other stack or from a file that no distribution installed."""
    import mmdet.models

    assert mmdet.models is not None
    for import_name in ("mmengine", "mmcv", "mmdet"):
        ((installed,),) = installed_packages.distributions_of(import_name).values()
        files = {str(installed.locate_file(file)) for file in installed.files or ()}
        modules = {name: m for name, m in sys.modules.items() if name.startswith(f"{import_name}.")}
        modules.pop("mmcv._ext", None)  # ours, where mmcv has no compiled ops
        foreign = {name for name, m in modules.items() if m.__file__ not in files}
        assert modules and not foreign, foreign


@pytest.fixture
def installed(monkeypatch):
    """Pretend that exactly these versions are installed."""

    def pretend(**found: str | None) -> None:
        table = {**VERSIONS, "mmseg": "1.2.2", **found}
        monkeypatch.setattr(installed_packages, "installed_version", table.get)

    return pretend


def message() -> str:
    with pytest.raises(ImportError) as caught:
        installed_packages.check_versions()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_here_all_is_well():
    installed_packages.check_versions()


def test_versions_are_read_without_importing():
    assert installed_packages.installed_version("mmengine").count(".") >= 1
    assert installed_packages.installed_version("no_such_package") is None


def test_names_everything_missing_at_once(installed):
    installed(mmcv=None, mmdet=None)
    assert "mmcv is not installed; mmdet is not installed" in message()


def test_names_what_is_too_old(installed):
    installed(torch="2.1.0+cu118")
    assert "torch 2.1.0+cu118 is older than 2.6" in message()


def test_mmseg_is_optional(installed):
    installed(mmseg=None)
    installed_packages.check_versions()


def test_stock_refuses_mmcv_2_2(installed):
    installed(mmcv="2.2.0", mmseg=None)
    assert "mmdet 3.3.0 refuses mmcv 2.2.0" in message()


def test_the_fork_goes_through(installed):
    installed(mmengine="0.10.12", mmcv="2.3.6", mmdet="3.5.1", mmseg="1.4.2")
    installed_packages.check_versions()


def test_advice_goes_on_with_the_stack_that_is_there(installed, monkeypatch):
    installed(mmdet=None)
    monkeypatch.setattr(installed_packages, "installed_stacks", dict)
    assert message().endswith("'.[openmmlab]' or '.[onedl]')")
    monkeypatch.setattr(installed_packages, "installed_stacks", lambda: {"onedl": []})
    assert message().endswith("pip install '.[onedl]')")


def test_says_when_setuptools_is_too_new(installed, monkeypatch):
    installed()
    monkeypatch.setattr(installed_packages, "_mmengine_uses_pkg_resources", lambda: True)
    find_spec = installed_packages.importlib.util.find_spec
    monkeypatch.setattr(
        installed_packages.importlib.util,
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
