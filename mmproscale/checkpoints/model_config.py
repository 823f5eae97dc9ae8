"""Config of a checkpoint's model: the one that is named, or the one in the file's header."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmproscale.checkpoints.hub import SCHEME, local_file
from mmproscale.checkpoints.weights_file import one_line, read_header
from mmproscale.errors import InputError
from mmproscale.utils.config import find_config, load_config, merge_options
from mmproscale.utils.shipped_config import NotPlainError, ShippedConfig, restore_config
from mmproscale.version import __version__

WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".pkl")


def load_config_for(
    config: str | os.PathLike | None,
    checkpoint: str | os.PathLike,
    options: Mapping[str, Any] | None = None,
) -> Config:
    """Return the named config, or without a name the checkpoint's own.

    That is the config in its header, or for another package's weights the only shipped config with
    their dimensions.

    Args:
        config: As for ``load_config``, or None.
        checkpoint: The checkpoint's file, or a hub name.
        options: Dotted key -> value, merged into the config.

    Raises:
        InputError: The config can't be read; no config fits, or several do; it does not know an
            option.
    """
    check_source(checkpoint)
    if config is not None:
        return load_config(config, options)
    known = config_in_header(checkpoint)
    if known is None:
        return _fitting_config(checkpoint, options or {})
    try:
        found = restore_config(known)
    except (InputError, NotPlainError) as error:
        raise InputError(
            f"{checkpoint} has a header that does not fit mmproscale {__version__} "
            f"({one_line(error)}): name the config before it"
        ) from error
    merge_options(found, options or {}, known.name)
    return found


def check_source(checkpoint: str | os.PathLike | None) -> None:
    """Refuse a checkpoint that is not there, without the seconds that the reading of it takes.

    Args:
        checkpoint: A file, a folder of transformers or a hub name, which is left to the reading;
            None for no checkpoint.

    Raises:
        InputError: There is no such file.
    """
    name = os.fspath(checkpoint or ".")
    if "://" not in name and not Path(name).expanduser().exists():
        raise InputError(_no_checkpoint(name))


def check_data_is_known(checkpoint: str | os.PathLike, options: Mapping[str, Any] | None) -> None:
    """Refuse to take the data of a shipped config for weights that were trained on other data.

    A header has the model's config and classes, but not the place of the data.

    Args:
        checkpoint: The checkpoint's file, for which no config was named.
        options: Dotted key -> value; with ``data_root`` or a key of ``test_dataloader`` they say
            where the data is.

    Raises:
        InputError: The training tested on other files than the config that the header names.
    """
    known = config_in_header(checkpoint)
    stated = any(key.startswith(("data_root", "test_dataloader")) for key in options or {})
    if known is None or stated or not known.own_data:
        return
    found = sorted(Path(checkpoint).parent.glob("*.py"))
    hint = f", {found[0]}" if len(found) == 1 else ""
    raise InputError(
        f"{checkpoint} does not say where its data is, which is not that of {known.name}: "
        f"name the config of its training before it{hint}"
    )


@contextmanager
def building_for(checkpoint: str | os.PathLike, config: str | os.PathLike | None) -> Iterator[None]:
    """Turn errors of building a model whose config is in the checkpoint's header into InputError.

    Args:
        checkpoint: The checkpoint's file.
        config: The config that was named; with one, errors stay what they are.

    Raises:
        InputError: Instead of the error.
    """
    try:
        yield
    except Exception as error:  # any value may be wrong
        if config is not None or isinstance(error, (InputError, MemoryError, OSError)):
            raise
        raise InputError(
            f"{checkpoint} has a header whose changes of the config do not fit "
            f"({type(error).__name__}: {one_line(error)}): name the config before it"
        ) from error


def config_in_header(checkpoint: str | os.PathLike) -> ShippedConfig | None:
    """Return the shipped config, and its changes, that a checkpoint's header names.

    Returns:
        None for a file without a header.

    Raises:
        InputError: There is no such file, or its header has no config.
    """
    file = local_file(checkpoint)
    if file.suffix == ".py":
        raise InputError(_no_checkpoint(os.fspath(checkpoint)))
    header = read_header(file) if file.suffix == ".safetensors" else None
    if header is not None and header.config is None:
        reason = one_line(header.reason)
        raise InputError(f"{checkpoint} has no config in its header ({reason}): name one before it")
    return header.config if header else None


def is_checkpoint(word: str | None) -> bool:
    """Return True where a word of a command line names weights and no config."""
    if word is None or Path(word).is_dir():
        return word is not None
    return word.startswith(SCHEME) or Path(word).suffix in WEIGHTS


def _fitting_config(checkpoint: str | os.PathLike, options: Mapping[str, Any]) -> Config:
    # Imports torch and mmdet, which a header does not need.
    from mmproscale.checkpoints.foreign.for_config import apply_settings, fitting_configs
    from mmproscale.checkpoints.foreign.reading import read_foreign
    from mmproscale.checkpoints.foreign.sources import SOURCES

    file = read_foreign(local_file(checkpoint))
    # Models of ours can have the same weights and compute otherwise.
    names = fitting_configs(file) if file.kind and SOURCES[file.kind].rules else ()
    if file.kind is None or len(names) != 1:
        hint = f", one of {', '.join(names)}" if names else ""
        raise InputError(
            f"{checkpoint} does not say which config it needs: name the config before it{hint}"
        )
    config = load_config(names[0])
    apply_settings(config, file.kind)
    merge_options(config, options, names[0])
    print(f"{checkpoint} fits config {names[0]}", file=sys.stderr)
    return config


def _no_checkpoint(name: str) -> str:
    try:
        find_config(name)
    except InputError:
        return f"{name} not found: no checkpoint is there"
    return f"{name} is a config: name a checkpoint after it"
