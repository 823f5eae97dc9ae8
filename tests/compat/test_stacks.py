"""Which stack is installed; both at once are refused before any of it is imported."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

from mmproscale import compat
from mmproscale.compat import stacks

ROOT = Path(__file__).resolve().parents[2]
STOCK = {
    "mmengine": ("mmengine", "0.10.7"),
    "mmcv": ("mmcv-lite", "2.1.0"),
    "mmdet": ("mmdet", "3.3.0"),
}
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

    monkeypatch.setattr(stacks.importlib.util, "find_spec", find_spec)
    return tmp_path


@pytest.mark.parametrize("name, packages", [("openmmlab", STOCK), ("onedl", FORK)])
def test_tells_a_stack_by_its_distributions(site, name, packages):
    for import_name, (distribution_name, version) in packages.items():
        install(site, import_name, distribution_name, version)
    assert stacks.stack() == name
    assert stacks.installed_stacks().keys() == {name}
    assert stacks.mixture() is None
    ((found,),) = stacks.distributions_of("mmcv").values()
    assert (found.name, found.version) == packages["mmcv"]


def test_one_stack_may_lie_over_another_environments(site, monkeypatch, tmp_path_factory):
    below = tmp_path_factory.mktemp("below")
    for import_name, packages in STOCK.items():
        install(below, import_name, *packages)
        install(site, import_name, *FORK[import_name])
    monkeypatch.setattr(sys, "path", [str(site), str(below)])
    assert stacks.mixture() is None and stacks.stack() == "onedl"


def test_finds_the_metadata_of_an_editable_install(site, monkeypatch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("site-packages")
    install(elsewhere, "mmdet", *FORK["mmdet"])
    (site / "mmdet").mkdir()
    (site / "mmdet" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(elsewhere)])
    assert stacks.stack() == "onedl"


def test_names_other_than_a_stacks_have_no_distributions_here():
    assert stacks.distributions_of("numpy") == {}


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
    said = stacks.mixture()
    assert said is not None and "\n" not in said
    fork = "onedl-mmengine 0.10.12, onedl-mmcv 2.3.6, onedl-mmdetection 3.5.1"
    assert f"mixed, onedl ({fork}) and openmmlab ({' '.join(more)})" in said
    assert "into a new environment (pip install 'mmproscale[openmmlab]' or" in said


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
    """Nothing of the other stack, which is not installed, and no file that nobody installed."""
    import mmdet.models

    assert mmdet.models is not None
    for import_name in ("mmengine", "mmcv", "mmdet"):
        ((installed,),) = stacks.distributions_of(import_name).values()
        files = {str(installed.locate_file(file)) for file in installed.files or ()}
        modules = {name: m for name, m in sys.modules.items() if name.startswith(f"{import_name}.")}
        modules.pop("mmcv._ext", None)  # ours, where mmcv has no compiled ops
        foreign = {name for name, m in modules.items() if m.__file__ not in files}
        assert modules and not foreign, foreign
