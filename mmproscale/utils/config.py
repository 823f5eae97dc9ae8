"""Reading a config file, with options from the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from inspect import signature
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from mmproscale.errors import InputError
from mmproscale.utils.config_files import find_config

# What Runner.from_cfg reads beyond Runner's own arguments.
MORE_KEYS = ("auto_scale_lr", "compile", "find_unused_parameters", "runner_type", "sync_bn")
# What provides a module of another name.
PACKAGES = {"mmseg": "mmsegmentation"}


def load_config(path: str | os.PathLike, options: Mapping[str, Any] | None = None) -> Config:
    """A config with ``options`` merged in, as mmdet's ``--cfg-options`` does.

    One key means more than its value: ``data_root`` moves every path that lies under the config's
    own ``data_root`` (datasets' and evaluators' alike).

    Args:
        path: The config's file or name, as :func:`mmproscale.utils.config_files.find_config` takes.
        options: Dotted key -> value.

    Raises:
        InputError: The file is missing, can't be read as a config or imports what is not installed;
            an option that it has no key for; ``data_root`` is given but the config has none.
    """
    file = find_config(path)
    try:
        config = Config.fromfile(file)
    except ImportError as error:
        raise InputError(f"config {path} {_import_problem(error)}") from error
    except Exception as error:  # a config is a program: it may fail as it likes
        raise InputError(f"config {path} can't be read: {_one_line(error)}") from error
    options = dict(options or {})
    _check_keys(config, options, path)
    if "data_root" in options:
        _move_data_root(config, str(options.pop("data_root")), path)
    try:
        config.merge_from_dict(options)
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(f"--cfg-options do not fit {path}: {_one_line(error)}") from error
    return config


def _import_problem(error: BaseException) -> str:
    """What is missing, from behind mmengine's message, which lists the whole search path."""
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
    """A misspelt key would be merged, and ignored, without a word."""
    read = {*signature(Runner.__init__).parameters, "data_root", *MORE_KEYS}
    known = {*config, *read}
    for key in options:
        top = key.split(".")[0]
        if top not in read and top in (config.get("model") or {}):
            # Base files leave a variable `backbone` behind, which nobody reads.
            raise InputError(f"--cfg-options {key}: {path} has it in its model: use model.{key}")
        if top not in known:
            close = get_close_matches(top, known, 1)
            hint = f": did you mean {close[0]}?" if close else ""
            raise InputError(f"--cfg-options {key}: {path} has no such key{hint}")


def _move_data_root(config: Config, new_root: str, path: str | os.PathLike) -> None:
    if "data_root" not in config:
        raise InputError(f"config {path} has no data_root to override: override its datasets' own")
    old_root, new_root = config.data_root, os.path.join(new_root, "")
    moved = _replace_prefix(config._cfg_dict.to_dict(), old_root, new_root)
    config.merge_from_dict(moved)


def _replace_prefix(value: Any, old: str, new: str) -> Any:
    """``value`` with every string that starts with ``old`` starting with ``new``."""
    if isinstance(value, str):
        return new + value[len(old) :] if value.startswith(old) else value
    if isinstance(value, dict):
        return {key: _replace_prefix(item, old, new) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replace_prefix(item, old, new) for item in value)
    return value


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
