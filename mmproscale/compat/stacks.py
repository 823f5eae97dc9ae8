"""Which of two stacks is installed: OpenMMLab's own packages, or their maintained fork (onedl).

Both have the same import names, so each writes over the other's files: an environment has one of
them. What is installed is read from the metadata of distributions; nothing is imported.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.metadata import Distribution
from pathlib import Path

# Import name -> the distributions that have it.
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


def stack() -> str:
    """Return ``'onedl'`` or ``'openmmlab'``; the latter for sources without metadata, too.

    The fork's packages can't be imported without theirs: they read their versions there.
    """
    return "onedl" if "onedl" in installed_stacks() else "openmmlab"


def installed_stacks() -> dict[str, list[Distribution]]:
    """Return stack -> its distributions that are installed, without stacks that have none."""
    found: dict[str, list[Distribution]] = {}
    for import_name in IMPORT_NAMES:
        for name, distributions in distributions_of(import_name).items():
            found.setdefault(name, []).extend(distributions)
    return found


def distributions_of(import_name: str) -> dict[str, list[Distribution]]:
    """Return stack -> the distributions that an import name's files may come from.

    Those beside the files count, so that an environment may stand on another. Of an editable
    install the metadata is elsewhere: then those anywhere on the path do.
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
    return {
        stack_name: distributions for stack_name, distributions in found.items() if distributions
    }


def how_to_install(*stacks: str) -> str:
    """Return what installs a stack, or any of several."""
    extras = " or ".join(f"'mmproscale[{name}]'" for name in stacks or STACKS)
    return f"pip install {extras}"


def mixture() -> str | None:
    """Return what is wrong where both stacks are installed, and what to do; else None."""
    stacks = installed_stacks()
    if len(stacks) < 2:
        return None
    lists = " and ".join(
        f"{name} ({', '.join(f'{one.name} {one.version}' for one in distributions)})"
        for name, distributions in sorted(stacks.items())
    )
    return (
        f"two stacks are mixed, {lists}, which write over each other's files: install one of them "
        f"into a new environment ({how_to_install()})"
    )
