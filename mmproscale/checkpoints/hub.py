"""Files of the Hugging Face hub, by names such as hf://facebook/mask2former-swin-tiny-ade-semantic.

huggingface_hub keeps what it fetched, so a file is fetched once and can be used without a network.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from types import ModuleType

from mmproscale.errors import InputError

SCHEME = "hf://"
_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([^/\s]+))?(?:/(.+))?")
_LICENCE = re.compile(r"\A---\s*\n(?:(?!---).*\n)*?license:[ \t]*(\S.*?)\s*\n")
# Names of weights, best first: transformers' names, then any single file.
_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "*.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "*.pth",
    "*.pt",
    "*.bin",
    "*.pkl",
)
_COMPANIONS = ("config.json", "README.md")


def local_file(source: str | os.PathLike) -> Path:
    """Return the path of weights: a local path as it is, or a hub name's files in the cache.

    Args:
        source: A path, or ``hf://OWNER/NAME``, ``hf://OWNER/NAME@REVISION`` or
            ``hf://OWNER/NAME/FILE``. Without a file, safetensors are preferred.

    Returns:
        A file; the folder of weights in several files with an index.

    Raises:
        InputError: The name or file does not exist on the hub, can't be reached, or is ambiguous;
            huggingface_hub is not installed.
    """
    text = os.fspath(source)
    return _fetch(text) if text.startswith(SCHEME) else Path(text).expanduser()


@cache
def _fetch(source: str) -> Path:
    address = _ADDRESS.fullmatch(source)
    if address is None:
        raise InputError(f"{source}: expected hf://OWNER/NAME, hf://OWNER/NAME@REVISION or /FILE")
    repository, revision, wanted = address.groups()
    hub = _library(source)
    names, get = _listing(hub, source, repository, revision)
    chosen = choose_file(names, wanted, source)
    file = get(chosen)
    folder = PurePosixPath(chosen).parent
    paths = {name: str(folder / name) for name in _COMPANIONS}
    companions = {name: get(path) for name, path in paths.items() if path in names}
    if os.environ.get("RANK", "0") == "0":  # once for all processes of torchrun
        print(f"{source}: licence {licence_of(companions.get('README.md'))}", file=sys.stderr)
    if not chosen.endswith(".index.json"):
        return file
    for name in names:
        if PurePosixPath(name).parent == folder and name.endswith((".safetensors", ".bin")):
            get(name)
    return file.parent


def choose_file(names: Sequence[str], wanted: str | None, source: str) -> str:
    """Return the weights among a repository's files.

    Args:
        names: Paths in the repository.
        wanted: The file that was asked for; None for the best one.
        source: The hub name, for the message.

    Raises:
        InputError: There is no such file, or there are several.
    """
    if wanted is not None:
        if wanted not in names:
            raise InputError(f"{source}: the repository has no file {wanted}; {_outline(names)}")
        return wanted
    for pattern in _NAMES:
        found = [name for name in names if "/" not in name and PurePosixPath(name).match(pattern)]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(
                f"{source}: the repository has {len(found)} files of weights: name one, "
                f"{SCHEME}OWNER/NAME/{found[0]}"
            )
    raise InputError(f"{source}: the repository has no weights; {_outline(names)}")


def _outline(names: Sequence[str]) -> str:
    first = ", ".join(sorted(names)[:5]) or "nothing"
    return f"its {len(names)} files are {first}{', ...' if len(names) > 5 else ''}"


def licence_of(card: Path | None) -> str:
    """Return the licence tag of a model card (README.md), as its front matter states it."""
    text = card.read_text(encoding="utf-8", errors="replace") if card else ""
    found = _LICENCE.match(text)
    return f"'{found[1][:60]}'" if found else "not stated"


def _library(source: str) -> ModuleType:
    try:
        import huggingface_hub.errors
    except ImportError as error:
        raise InputError(
            f"{source} needs huggingface_hub, which is not installed: `pip install "
            "huggingface_hub`, or give a local file"
        ) from error
    return huggingface_hub


def _listing(
    hub: ModuleType, source: str, repository: str, revision: str | None
) -> tuple[list[str], Callable[[str], Path]]:
    """Return the names of a repository's files, and a function that fetches one of them.

    Without a network, the names are those of the files in the cache. The function returns the local
    path; it fetches only a file that is not in the cache.

    Raises:
        InputError: There is no such repository or revision, or nothing is in the cache.
    """

    def get(name: str) -> Path:
        try:
            return Path(hub.hf_hub_download(repository, name, revision=revision))
        except Exception as error:  # the network, the disk, the server
            raise _could_not_fetch(source, error) from error

    try:
        info = hub.HfApi().model_info(repository, revision=revision)
    except hub.errors.HFValidationError as error:
        raise InputError(f"{source} is not a name of the hub: {_first_line(error)}") from error
    except (hub.errors.RepositoryNotFoundError, hub.errors.RevisionNotFoundError) as error:
        raise InputError(
            f"{source}: the hub has no such model or revision, or it is private or needs its terms "
            "accepted: correct the name, or log in (`hf auth login`)"
        ) from error
    except Exception as error:
        folder = _cached_folder(hub, repository, revision)
        if folder is None:
            raise _could_not_fetch(source, error) from error
        paths = [path for path in folder.rglob("*") if path.is_file()]
        return [path.relative_to(folder).as_posix() for path in paths], folder.joinpath
    return [entry.rfilename for entry in info.siblings or ()], get


def _cached_folder(hub: ModuleType, repository: str, revision: str | None) -> Path | None:
    try:
        return Path(hub.snapshot_download(repository, revision=revision, local_files_only=True))
    except Exception:  # each release raises another error
        return None


def _could_not_fetch(source: str, error: Exception) -> InputError:
    reason = _first_line(error.__cause__ or error)
    return InputError(
        f"{source} could not be fetched ({reason}), and is not in the cache: try again "
        "with a network, or give a local file"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
