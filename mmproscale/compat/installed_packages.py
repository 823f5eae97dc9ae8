"""Installed packages: which stack they belong to, and whether their versions fit.

There are two stacks: OpenMMLab's own packages, and their maintained fork (onedl). Both have the
same import names and write over each other's files, so an environment has only one of them.
Everything is read from files and the metadata of distributions; nothing is imported.
"""

import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, packages_distributions, version
from pathlib import Path

# Stack -> import name -> the distributions that have it.
STACKS: dict[str, dict[str, tuple[str, ...]]] = {
    "openmmlab": {
        "mmengine": ("mmengine", "mmengine-lite"),
        "mmcv": ("mmcv", "mmcv-lite"),
        "mmdet": ("mmdet",),
        "mmseg": ("mmsegmentation",),
        "mmpretrain": ("mmpretrain",),
    },
    "onedl": {
        "mmengine": ("onedl-mmengine",),
        "mmcv": ("onedl-mmcv",),
        "mmdet": ("onedl-mmdetection",),
        "mmseg": ("onedl-mmsegmentation",),
        "mmpretrain": ("onedl-mmpretrain",),
    },
}
IMPORT_NAMES = tuple(STACKS["openmmlab"])
MINIMUM_PYTHON = (3, 10)
# torch 2.6 is the first whose weights-only loading can bind a name in a file to a type of ours.
MINIMUM = {"torch": "2.6", "mmengine": "0.10.4", "mmcv": "2.0.0", "mmdet": "3.3.0"}
NEEDED = ("hotcoco", "matplotlib", "PIL", "pycocotools", "rich", "safetensors")
# Package -> its first release that accepts mmcv 2.2.0 and later; older ones refuse on import.
ACCEPTS_MMCV_2_2 = {"mmdet": "3.4", "mmseg": "1.3"}


def check_versions() -> None:
    """Check Python and the packages that mmproscale needs.

    Raises:
        ImportError: Something is missing or too old, or both stacks are mixed. The message is one
            line that names everything.
    """
    mixed = mixture()
    if mixed:
        raise ImportError(f"mmproscale cannot run here: {mixed}")
    problems = [*_python_problems(), *_package_problems()]
    if problems:
        extras = how_to_install(*(installed_stacks() or STACKS))
        advice = f"in a checkout: `make install`, or {extras}"
        raise ImportError(f"mmproscale cannot run here: {'; '.join(problems)} ({advice})")


def stack() -> str:
    """Return ``'onedl'`` or ``'openmmlab'``.

    Sources without metadata count as OpenMMLab's: the fork's packages read their versions from
    their metadata and can't be imported without it.
    """
    return "onedl" if "onedl" in installed_stacks() else "openmmlab"


def describe_stack() -> str:
    """Return the stack that runs, with its versions: ``'onedl: mmengine 0.10.12, ...'``."""
    versions = {name: installed_version(name) for name in (*STACKS[stack()], "torch")}
    return f"{stack()}: " + ", ".join(
        f"{name} {found}" for name, found in versions.items() if found
    )


def installed_stacks() -> dict[str, list[Distribution]]:
    """Return stack -> its installed distributions, only for stacks that have some."""
    found: dict[str, list[Distribution]] = {}
    for import_name in IMPORT_NAMES:
        for name, distributions in distributions_of(import_name).items():
            found.setdefault(name, []).extend(distributions)
    return found


def mixture() -> str | None:
    """Return what to do about two stacks in one environment; None where there is only one."""
    stacks = installed_stacks()
    if len(stacks) < 2:
        return None
    lists = " and ".join(
        f"{name} ({', '.join(f'{one.name} {one.version}' for one in distributions)})"
        for name, distributions in sorted(stacks.items())
    )
    return (
        f"two stacks are mixed, {lists}, which write over each other's files: install one of them "
        f"into a new environment (in a checkout: {how_to_install()})"
    )


def how_to_install(*stacks: str) -> str:
    """Return the command that installs one of these stacks, in a checkout; by default of any."""
    extras = " or ".join(f"'.[{name}]'" for name in stacks or STACKS)
    return f"pip install {extras}"


def distributions_of(import_name: str) -> dict[str, list[Distribution]]:
    """Return stack -> the distributions that a package's files may come from.

    Metadata in the package's own folder counts first, since an environment may be stacked on
    another one. An editable install has its metadata elsewhere on the path.
    """
    spec = importlib.util.find_spec(import_name) if import_name in IMPORT_NAMES else None
    if spec is None or spec.origin is None:
        return {}
    folder = str(Path(spec.origin).parents[1])
    return _distributions_in([folder], import_name) or _distributions_in(sys.path, import_name)


def _distributions_in(path: Sequence[str], import_name: str) -> dict[str, list[Distribution]]:
    found = {
        stack_name: [
            distribution
            for name in names[import_name]
            for distribution in list(Distribution.discover(name=name, path=list(path)))[:1]
        ]
        for stack_name, names in STACKS.items()
    }
    return {name: distributions for name, distributions in found.items() if distributions}


def installed_version(import_name: str) -> str | None:
    """Return the version of the package with this import name, or None; does not import it."""
    spec = importlib.util.find_spec(import_name)
    if spec is None:
        return None
    for distributions in distributions_of(import_name).values():
        return distributions[0].version
    if found := _version_in_source(spec.origin):
        return found
    names = packages_distributions().get(import_name)
    return version(names[0]) if names else "0"


def _version_in_source(origin: str | None) -> str | None:
    # torch and OpenMMLab's sources keep `__version__ = '...'` in version.py. Reading it is 100
    # times faster than searching the metadata of every distribution for an import name.
    file = Path(origin).with_name("version.py") if origin else None
    if file is None or not file.is_file():
        return None
    found = re.search(r"^__version__\s*(?::\s*\w+\s*)?=\s*['\"]([^'\"]+)", file.read_text(), re.M)
    return found.group(1) if found else None


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
    # mmengine reads `_base_ = 'mmdet::...'` through pkg_resources, which setuptools 81 dropped.
    if importlib.util.find_spec("pkg_resources") is None and _mmengine_uses_pkg_resources():
        yield "pkg_resources is missing, which mmengine imports: install 'setuptools<81'"


def _mmcv_problems(versions: dict[str, str | None]) -> Iterator[str]:
    mmcv = versions["mmcv"]
    if mmcv is None or _release(mmcv) < (2, 2):
        return
    for name, minimum in ACCEPTS_MMCV_2_2.items():
        found = versions[name]
        if found is not None and _release(found) < _release(minimum):
            yield f"{name} {found} refuses mmcv {mmcv}: install mmcv (or mmcv-lite) 2.1.0"


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
