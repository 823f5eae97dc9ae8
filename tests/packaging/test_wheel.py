"""The wheel, built from the source distribution, in an environment that has no checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import mmproscale

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    *("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md"),
    *("CITATION.cff", "Makefile", "requirements.txt", "model-index.yml"),
    *("requirements", "mmproscale", "configs", "tools", "docs", "tests"),
)
TWO_STEPS = [
    *("train_cfg.max_iters=2", "train_cfg.val_interval=2", "default_hooks.checkpoint.interval=2"),
    *("train_dataloader.batch_size=2", "model.train_cfg.num_points=64"),
    *(f"{split}_dataloader.num_workers=0" for split in ("train", "val", "test")),
    *(f"{split}_dataloader.persistent_workers=False" for split in ("train", "val", "test")),
]


def run(*words: object, cwd: Path) -> str:
    """Standard output of a command that knows nothing of the checkout and must succeed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """Built from a copy: building leaves folders behind, and finds what others left."""
    tree = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, tree)
    build = "from setuptools.build_meta import build_sdist; build_sdist('dist')"
    run(sys.executable, "-c", build, cwd=tree)
    (built,) = (tree / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps")
    run(*pip, "--no-build-isolation", "--wheel-dir", out, sdist, cwd=out)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """Return the ``bin`` of a new environment with the wheel and this environment's packages.

    A path file names this environment's packages; path files among those are not read, so that an
    editable mmproscale is not there.
    """
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home)
    run(python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=home)
    below = sysconfig.get_path("purelib")
    (Path(packages.strip()) / "dependencies.pth").write_text(f"{below}\n")
    return home / "bin"


def names_below(folder: Path) -> set[str]:
    """Python, shell and YAML files under a folder of the checkout, relative to it."""
    endings = (".py", ".sh", ".yml", ".yaml")
    files = (file for file in folder.rglob("*") if file.suffix in endings)
    return {str(file.relative_to(folder)) for file in files}


def test_the_wheel_has_every_config_metafile_and_tool_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder in ("configs", "tools"):
        prefix = f"mmproscale/.mim/{folder}/"
        packed = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        assert packed == names_below(ROOT / folder)
    modules = {f"mmproscale/{name}" for name in names_below(ROOT / "mmproscale")}
    assert modules | {"mmproscale/py.typed", "mmproscale/.mim/model-index.yml"} <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"mmproscale"}
    assert not any("__pycache__" in name for name in names)


def test_the_source_distribution_can_be_tested(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "Makefile", "requirements/onedl.txt"} <= names
    assert {f"tests/{name}" for name in names_below(ROOT / "tests")} <= names
    assert {f"configs/{name}" for name in names_below(ROOT / "configs")} <= names
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in names)


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def test_neither_stack_is_a_plain_requirement(wheel):
    requirements = metadata_of(wheel).get_all("Requires-Dist")
    plain = [line for line in requirements if "extra ==" not in line]
    assert not [line for line in plain if line.startswith(("mm", "onedl"))]
    for extra, first in (("openmmlab", "mm"), ("onedl", "onedl-mm")):
        named = [line for line in requirements if line.endswith(f'extra == "{extra}"')]
        assert sum(line.startswith(first) for line in named) == 4
        assert not [
            line for line in named if line.startswith(("mm", "onedl")) and first not in line
        ]


def test_extras_pin_what_requirements_pin(wheel):
    requirements = {
        line.partition(";")[0].strip() for line in metadata_of(wheel).get_all("Requires-Dist")
    }
    for stack in ("openmmlab", "onedl"):
        lines = (ROOT / "requirements" / f"{stack}.txt").read_text().splitlines()
        pins = {line for line in lines if line.startswith(("mm", "onedl-"))}
        assert len(pins) == 4 and pins <= requirements


def test_versions_and_types_are_declared(wheel):
    metadata = metadata_of(wheel)
    assert metadata["Version"] == mmproscale.__version__
    assert metadata["Requires-Python"] == ">=3.10"
    classifiers = metadata.get_all("Classifier")
    for version in ("3.10", "3.11", "3.12"):
        assert f"Programming Language :: Python :: {version}" in classifiers
    assert "Typing :: Typed" in classifiers


def test_trains_two_steps_outside_the_checkout(environment, tmp_path):
    python, command = environment / "python", environment / "mmproscale"
    where = run(python, "-c", "import mmproscale; print(mmproscale.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(environment.parent)
    said = run(command, "--version", cwd=tmp_path)
    assert said.startswith(f"mmproscale {mmproscale.__version__} on ")

    made = ("--train", 4, "--val", 2, "--size", 64)
    run(command, "datasets", "make-shapes", *made, cwd=tmp_path)
    run(command, "train", "proscale_m2f_r18_shapes", "--cfg-options", *TWO_STEPS, cwd=tmp_path)
    work_dir = tmp_path / "work_dirs" / "proscale_m2f_r18_shapes"
    assert (work_dir / "iter_2.pth").is_file()
    (log,) = work_dir.glob("*/*.log")
    assert said.strip() in log.read_text(), "the log says which stack it ran on"


def test_mim_finds_the_config_and_the_tool(environment, tmp_path):
    """Find them as `mim train mmproscale NAME.py` does: a config by its name, tools by path."""
    (package,) = environment.parent.glob("lib/python3*/site-packages/mmproscale")
    (config,) = package.rglob("proscale_m2f_r18_shapes.py")
    assert (package / ".mim" / "tools" / "train.py").is_file()
    load = "import sys, mmproscale; from mmengine import Config; Config.fromfile(sys.argv[1])"
    run(environment / "python", "-c", load, config, cwd=tmp_path)
