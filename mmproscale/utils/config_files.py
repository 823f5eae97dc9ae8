"""Where a config's file is: on disk, among those of mmproscale, or in another package."""

from __future__ import annotations

import os
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from mmproscale.errors import InputError

# In a checkout these are links to its configs/ and tools/; mim looks in the same place.
MIM_FOLDER = Path(__file__).resolve().parents[1] / ".mim"
CONFIGS = (MIM_FOLDER / "configs").resolve()


def find_config(name: str | os.PathLike) -> Path:
    """The file of a config, from whatever folder one asks.

    Args:
        name: A path; else the name of a config of ours, with or without ``.py`` or ``configs/``;
            or ``package::path``, among the configs of an installed package of OpenMMLab.

    Raises:
        InputError: There is no such file.
    """
    if Path(name).is_file():
        return Path(name)
    if "::" in os.fspath(name):
        return _config_of_package(os.fspath(name))
    return _config_of_ours(os.fspath(name))


def _config_of_ours(name: str) -> Path:
    """Only a bare name is looked up: a path that does not exist is a mistake in the path."""
    bare = name.removeprefix("configs/").removesuffix(".py")
    if (CONFIGS / f"{bare}.py").is_file() and "/" not in bare:
        return CONFIGS / f"{bare}.py"
    close = get_close_matches(Path(bare).name, (file.stem for file in CONFIGS.glob("*.py")), 1)
    hint = f"did you mean {close[0]}?" if close else "name one, e.g. from configs/"
    raise InputError(f"config {name} is not a file, nor the name of one in {CONFIGS}: {hint}")


def _config_of_package(name: str) -> Path:
    package, _, file = name.partition("::")
    # mmengine's own search, by way of pkg_resources, takes longer and warns of that.
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise InputError(f"config {name}: package '{package}' is not installed: name another")
    configs = Path(spec.origin).parent / ".mim/configs"
    if not (configs / file).is_file():
        raise InputError(f"config {name} is not a file in {configs}: name one that is")
    return configs / file
