"""Config files: where they are, and how they are read with options from the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmproscale.errors import InputError

# In a checkout these are links to its configs/ and tools/; mim looks in the same place.
MIM_FOLDER = Path(__file__).resolve().parents[1] / ".mim"
CONFIGS = (MIM_FOLDER / "configs").resolve()
TOOLS = (MIM_FOLDER / "tools").resolve()
# Keys whose value, if there is one, is a dict.
DICTS = (
    *("model", "train_dataloader", "val_dataloader", "test_dataloader"),
    *("train_cfg", "val_cfg", "test_cfg", "optim_wrapper", "default_hooks"),
    *("env_cfg", "randomness"),
)
# Keys that Runner.from_cfg reads in addition to Runner's own arguments.
MORE_KEYS = ("auto_scale_lr", "compile", "find_unused_parameters", "runner_type", "sync_bn")
MOST_PLACES = 4
# Packages whose module has another name.
PACKAGES = {"mmseg": "mmsegmentation"}


def find_config(name: str | os.PathLike) -> Path:
    """Return the file of a config.

    Args:
        name: A path, the name of one of our configs, with or without ``.py`` or ``configs/``, or
            ``package::path``, a config of an installed package of OpenMMLab.

    Raises:
        InputError: There is no such file.
    """
    if Path(name).is_file():
        return Path(name)
    if "::" in os.fspath(name):
        return _config_of_package(os.fspath(name))
    return _config_of_ours(os.fspath(name))


def _config_of_ours(name: str) -> Path:
    # Only a bare name is looked up: a path that does not exist is a mistake in the path.
    bare = name.removeprefix("configs/").removesuffix(".py")
    if (CONFIGS / f"{bare}.py").is_file() and "/" not in bare:
        return CONFIGS / f"{bare}.py"
    close = get_close_matches(Path(bare).name, (file.stem for file in CONFIGS.glob("*.py")), 1)
    hint = f"did you mean {close[0]}?" if close else "name one, e.g. from configs/"
    raise InputError(f"config {name} is not a file, nor the name of one in {CONFIGS}: {hint}")


def _config_of_package(name: str) -> Path:
    package, _, file = name.partition("::")
    configs = config_folder(package)
    if not (configs / file).is_file():
        raise InputError(f"config {name} is not a file in {configs}: name one that is")
    return configs / file


def config_folder(package: str) -> Path:
    """Return the folder of the configs of an installed package of OpenMMLab.

    Raises:
        InputError: The package is not installed.
    """
    # mmengine's own search needs pkg_resources, which is slow and warns.
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise InputError(f"package '{package}' is not installed: name the config of another")
    return Path(spec.origin).parent / ".mim/configs"


def base_files(*names: str) -> list[str]:
    """Return the paths of this package's base files, for ``_base_`` of a config in any folder.

    Args:
        names: Files below ``configs/_base_``, without ``.py``: ``models/proscale_m2f_r50``.

    Raises:
        InputError: This package has no such file.
    """
    paths = [CONFIGS / f"_base_/{name}.py" for name in names]
    missing = next((path for path in paths if not path.is_file()), None)
    if missing:
        raise InputError(f"this mmproscale has no base file {missing}: write the config again")
    return [path.as_posix() for path in paths]


def load_config(path: str | os.PathLike, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config and merge ``options`` into it, as mmdet's ``--cfg-options`` does.

    The option ``data_root`` moves every path that lies under the config's own ``data_root``, those
    of datasets and evaluators.

    Args:
        path: The config's file or name, as for :func:`find_config`.
        options: Dotted key -> value.

    Raises:
        InputError: The file is missing, can't be read as a config or imports a package that is not
            installed; the config does not know an option; ``data_root`` is given and the config has
            none.
    """
    file = find_config(path)
    try:
        config = Config.fromfile(file)
    except ImportError as error:
        raise InputError(f"config {path} {_import_problem(error)}") from error
    except (Exception, SystemExit) as error:  # a config is a program and may raise anything
        raise InputError(f"config {path} can't be read: {_one_line(error)}") from error
    merge_options(config, options or {}, path)
    return config


def merge_options(config: Config, options: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Merge options into a config, as :func:`load_config` describes; ``path`` is its name.

    Raises:
        InputError: The config does not know an option; ``data_root`` is given and it has none.
    """
    options = dict(options)
    _check_keys(config, options, path)
    if "data_root" in options:
        _move_data_root(config, str(options.pop("data_root")), path)
    try:
        config.merge_from_dict(options)
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(f"--cfg-options do not fit {path}: {_one_line(error)}") from error
    _check_forms(config, path)


def require_keys(config: Config, *keys: str) -> None:
    """Check that a config has a value of each of these keys.

    Raises:
        InputError: One is missing or None.
    """
    for key in keys:
        if config.get(key) is None:
            raise InputError(
                f"config {config.filename} has no {key}, which is needed here: add it, or name a "
                "config that has it"
            )


def _check_forms(config: Config, path: str | os.PathLike) -> None:
    """Refuse another value where only a dict can be."""
    values = {key: config.get(key) for key in DICTS}
    hooks, custom = values["default_hooks"], config.get("custom_hooks")
    if isinstance(hooks, Mapping):
        values |= {f"default_hooks.{name}": hook for name, hook in hooks.items()}
    if isinstance(custom, (list, tuple)):
        values |= {f"custom_hooks.{place}": hook for place, hook in enumerate(custom)}
    elif custom is not None:
        raise InputError(f"config {path}: custom_hooks={custom!r}: expected a list of dicts")
    for key, value in values.items():
        if value is not None and not isinstance(value, Mapping):
            raise InputError(f"config {path}: {key}={value!r}: expected a dict")


def _import_problem(error: BaseException) -> str:
    """Return the missing package; mmengine's own message lists the whole search path."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, ModuleNotFoundError) and behind.name and "." not in behind.name:
            name = behind.name
            package = PACKAGES.get(name, name)
            return (
                f"needs {name}, which is not installed: `pip install {package}`, or, if it is "
                "yours, put its folder on PYTHONPATH"
            )
        if isinstance(behind, ImportError):
            error = behind
        behind = behind.__cause__ or behind.__context__
    return f"can't import its custom_imports: {_one_line(error)}"


def _check_keys(config: Config, options: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Refuse keys that nothing reads, which mmengine merges without a message.

    A variable of the config, such as `image_size`, was already used when the file was read.
    """
    from mmengine.runner import Runner  # takes seconds, and finding a config does not need it

    read = {*signature(Runner.__init__).parameters, "data_root", *MORE_KEYS}
    parts = {key: value for key, value in config.items() if key in read and key != "cfg"}
    for key in options:
        top, dot, rest = key.partition(".")
        if top in read:
            continue
        places = list(dict.fromkeys(_places(parts, key, config.get(top))))
        if places:
            listed = ", ".join(f"{place}{dot}{rest}" for place in places[:MOST_PLACES])
            more = len(places) - MOST_PLACES
            listed += f" and {more} more" if more > 0 else ""
            raise InputError(
                f"--cfg-options {key}: nothing reads {top} at the top of {path}: use {listed}"
            )
        names = {name: place for place, name, _ in _entries(parts)} | {name: name for name in read}
        close = get_close_matches(top, names, 1, cutoff=0.7)
        hint = f": did you mean {names[close[0]]}?" if close else ""
        raise InputError(f"--cfg-options {key}: {path} has no such key that anything reads{hint}")


def _places(parts: Mapping[str, Any], option: str, value: Any) -> Iterator[str]:
    """Yield the places of an option's first key: those of its name, then those of its value.

    Numbers below 1000 are equal by chance too often, so only their names count.
    """
    name, _, rest = option.partition(".")
    entries = [entry for entry in _entries(parts) if _takes(entry[2], rest)]
    named = [(place, found) for place, key, found in entries if key == name]
    yield from (place for place, _ in named)
    if value is None and named:  # a base file has deleted the variable
        value = named[0][1]
    is_small = isinstance(value, (bool, int, float)) and abs(value) < 1000
    if value is None or is_small or value in ("", [], (), {}):
        return
    yield from (place for place, _, found in entries if found == value)


def _takes(part: Any, rest: str) -> bool:
    """Return True if the rest of a dotted key may lie in a part."""
    if not rest or isinstance(part, Mapping):
        return True
    return isinstance(part, (list, tuple)) and rest.partition(".")[0].isdigit()


def _entries(part: Any, above: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield every dotted place of a config with its own key and its value, outer ones first."""
    items = part.items() if isinstance(part, Mapping) else enumerate(part)
    for key, value in items:
        place = f"{above}{key}"
        yield place, str(key), value
        # Below custom_keys are names of parameters.
        if isinstance(value, (Mapping, list, tuple)) and key != "custom_keys":
            yield from _entries(value, f"{place}.")


def _move_data_root(config: Config, new_root: str, path: str | os.PathLike) -> None:
    if "data_root" not in config:
        raise InputError(f"config {path} has no data_root to override: override its datasets' own")
    old_root, new_root = config.data_root, os.path.join(new_root, "")
    moved = _replace_prefix(config._cfg_dict.to_dict(), old_root, new_root)
    config.merge_from_dict(moved)


def _replace_prefix(value: Any, old: str, new: str) -> Any:
    """Return ``value`` with prefix ``new`` instead of ``old`` in every string that has it."""
    if isinstance(value, str):
        return new + value[len(old) :] if value.startswith(old) else value
    if isinstance(value, dict):
        return {key: _replace_prefix(item, old, new) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replace_prefix(item, old, new) for item in value)
    return value


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
