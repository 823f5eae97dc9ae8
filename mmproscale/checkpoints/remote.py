"""Weights from elsewhere: fetched to torch's cache as a file, then read like any other file."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import mmengine
import torch
from mmengine.dist import barrier, get_local_rank

from mmproscale.checkpoints.safe_loading import load_checkpoint
from mmproscale.errors import InputError

_ADVICE = (
    "start without it by `--cfg-options model.backbone.init_cfg=None`, or give a local file in its "
    "place (model.backbone.init_cfg.checkpoint, or load_from)"
)


def load_from_http(filename: str, map_location: Any = None, **_: Any) -> dict:
    """Fetch a checkpoint once for each machine and read it; its other processes wait for the file.

    Raises:
        InputError: it could not be fetched, or `load_checkpoint` refuses it.
    """
    failure: Exception | None = None
    file = _cache_file(filename)
    if get_local_rank() == 0:
        failure = _fetch(filename, file)
    barrier()
    if failure is not None or not file.is_file():
        raise could_not_fetch(filename, failure) from failure
    return load_checkpoint(file, map_location)


def load_from_torchvision(filename: str, map_location: Any = None) -> dict:
    """Read the weights of `torchvision://NAME`; mmengine has most addresses, torchvision the rest.

    Raises:
        InputError: an unknown name, or the weights could not be fetched.
    """
    name = filename.split("://", 1)[1]
    url = _known_urls().get(name)
    if url is None:
        url = _urls_of_torchvision(filename).get(name)
    if url is None:
        raise InputError(f"{filename}: torchvision has no weights of that name; {_ADVICE}")
    try:
        return load_from_http(url, map_location)
    except InputError as error:
        if error.__cause__ is None or isinstance(error.__cause__, OSError):
            raise could_not_fetch(filename, error.__cause__) from error
        raise


def could_not_fetch(filename: str, cause: BaseException | None) -> InputError:
    """Return the error that says what could not be fetched, why, and what to do."""
    reason = getattr(cause, "reason", None) or cause or "the download failed"
    return InputError(f"could not fetch {filename} ({str(reason).splitlines()[0]}): {_ADVICE}")


def _cache_file(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(urlparse(url).path)


def _fetch(url: str, file: Path) -> Exception | None:
    if file.is_file():
        return None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Writes beside the file and renames: a broken download leaves nothing behind.
        torch.hub.download_url_to_file(url, str(file), progress=os.isatty(2))
    except Exception as error:
        return error
    return None


def _known_urls() -> dict[str, str]:
    table = Path(mmengine.__file__).parent / "hub" / "torchvision_0.12.json"
    return json.loads(table.read_text()) if table.is_file() else {}


def _urls_of_torchvision(filename: str) -> dict[str, str]:
    from mmengine.runner.checkpoint import get_torchvision_models

    try:
        return get_torchvision_models()
    except ImportError as error:
        raise InputError(
            f"{filename} needs torchvision, which is not installed; {_ADVICE}"
        ) from error
