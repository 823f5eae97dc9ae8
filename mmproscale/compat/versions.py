"""One line at import that says what is missing, too old or mixed, before anything heavy is there.

Packages are looked up by import name: the stock stack and its maintained fork have different
distribution names and the same import names.
"""

import importlib.util
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path

from mmproscale.compat.stacks import (
    STACKS,
    distributions_of,
    how_to_install,
    installed_stacks,
    mixture,
    stack,
)

MINIMUM_PYTHON = (3, 10)
# torch 2.6 is the first whose weights-only loading can be given a name of its own for a safe type.
MINIMUM = {"torch": "2.6", "mmengine": "0.10.4", "mmcv": "2.0.0", "mmdet": "3.3.0"}
NEEDED = ("hotcoco", "matplotlib", "PIL", "pycocotools", "rich", "safetensors")
# The stock releases that refuse mmcv 2.2.0 and later when they are imported.
REFUSES_MMCV_2_2 = {"mmdet": "3.4", "mmseg": "1.3"}


def check_versions() -> None:
    """Check Python and the packages that mmproscale stands on.

    Raises:
        ImportError: one line that names everything missing or too old, or both stacks where they
            are mixed.
    """
    mixed = mixture()
    if mixed:
        raise ImportError(f"mmproscale cannot run here: {mixed}")
    problems = [*_python_problems(), *_package_problems()]
    if problems:
        raise ImportError(f"mmproscale cannot run here: {'; '.join(problems)} ({_advice()})")


def _advice() -> str:
    begun = installed_stacks() or STACKS
    return f"`make install` in a checkout, or {how_to_install(*begun)}"


def describe_stack() -> str:
    """Return which stack runs, with its versions: ``'onedl: mmengine 0.10.12, ...'``."""
    names = (*STACKS[stack()], "torch")
    versions = {name: installed_version(name) for name in names}
    return f"{stack()}: " + ", ".join(
        f"{name} {found}" for name, found in versions.items() if found
    )


def installed_version(import_name: str) -> str | None:
    """Return the version of the package with this import name, or None; does not import it."""
    spec = importlib.util.find_spec(import_name)
    if spec is None:
        return None
    for distributions in distributions_of(import_name).values():
        return distributions[0].version
    return _version_in_source(spec.origin) or _version_in_metadata(import_name)


def _version_in_source(origin: str | None) -> str | None:
    # torch and OpenMMLab's sources keep `__version__ = '...'` in version.py: 100 times faster to
    # read than the metadata of every distribution, which alone knows what provides an import name.
    file = Path(origin).with_name("version.py") if origin else None
    if file is None or not file.is_file():
        return None
    found = re.search(r"^__version__\s*(?::\s*\w+\s*)?=\s*['\"]([^'\"]+)", file.read_text(), re.M)
    return found.group(1) if found else None


def _version_in_metadata(import_name: str) -> str:
    distributions = packages_distributions().get(import_name)
    return version(distributions[0]) if distributions else "0"


def _python_problems() -> Iterator[str]:
    if sys.version_info < MINIMUM_PYTHON:
        yield f"Python {sys.version_info[0]}.{sys.version_info[1]} is older than 3.10"


def _package_problems() -> Iterator[str]:
    versions = {name: installed_version(name) for name in [*MINIMUM, "mmseg"]}
    for name, minimum in MINIMUM.items():
        found = versions[name]
        if found is None:
            yield f"{name} is not installed"
        elif _release(found) < _release(minimum):
            yield f"{name} {found} is older than {minimum}"
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            yield f"{name} is not installed"
    yield from _mmcv_problems(versions)
    yield from _setuptools_problems()


def _mmcv_problems(versions: dict[str, str | None]) -> Iterator[str]:
    mmcv = versions["mmcv"]
    if mmcv is None or _release(mmcv) < (2, 2):
        return
    for name, first_tolerant in REFUSES_MMCV_2_2.items():
        found = versions[name]
        if found is not None and _release(found) < _release(first_tolerant):
            yield f"{name} {found} refuses mmcv {mmcv}: install mmcv (or mmcv-lite) 2.1.0"


def _setuptools_problems() -> Iterator[str]:
    # mmengine reads `_base_ = 'mmdet::...'` through pkg_resources, gone from setuptools 81 on.
    if importlib.util.find_spec("pkg_resources") is None and _mmengine_uses_pkg_resources():
        yield "pkg_resources is missing, which mmengine imports: install 'setuptools<81'"


def _mmengine_uses_pkg_resources() -> bool:
    spec = importlib.util.find_spec("mmengine")
    if spec is None or spec.origin is None:
        return False
    file = Path(spec.origin).parent / "utils" / "package_utils.py"
    return file.is_file() and "pkg_resources" in file.read_text()


def _release(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: '2.13.0+cpu' -> (2, 13, 0)."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else (0,)
