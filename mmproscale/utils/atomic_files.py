"""Files that are either whole or absent: written under a temporary name, then renamed."""

import os
import platform
import re
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmproscale.errors import InputError

# Temporary names state machine and process, so that files of dead processes can be recognised.
_MACHINE = f"{zlib.crc32(platform.node().encode()):08x}"
_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)\.tmp(\.\w+)?")
_DAY = 24 * 3600
"""Seconds after which a temporary file counts as left behind, whoever wrote it."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is renamed to `path`.

    If the block raises, an earlier file at `path` stays and the temporary file is removed.

    Raises:
        InputError: The file cannot be written (no permission, disk full).
    """
    path = Path(path)
    temporary = path.with_name(f"{_temporary_name(path.name)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, path)
        _flush_to_disk(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
        raise


def atomic_write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file; an interrupted run leaves the old file or no file.

    Raises:
        InputError: The file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file; an interrupted run leaves the old file or no file.

    Raises:
        InputError: The file cannot be written.
    """
    atomic_write_bytes(path, text.encode("utf-8"))


def ensure_writable_dir(path: str | Path) -> Path:
    """Make the folder if it is missing, check that files can be written there, and return it.

    Raises:
        InputError: The path is a file; the folder cannot be made or written to.
    """
    folder = Path(path)
    probe = folder / _temporary_name("writable")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Permissions are not enough: read-only mounts and full disks can have them.
        probe.write_bytes(b"x")
        probe.unlink()
    except FileExistsError as error:
        raise InputError(f"{path} is a file: give a folder to write to") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path} cannot be written to: {reason}; give another folder") from error
    return folder


@contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder next to `folder`; on success its files are moved to their places.

    If the block raises, everything below `folder` stays as it was, and no new folder is left.

    Raises:
        InputError: The folder cannot be written (no permission, disk full).
    """
    folder = Path(folder)
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    temporary = folder.with_name(_temporary_name(folder.name))
    ensure_writable_dir(folder)
    try:
        for old in folder.parent.glob(f".{folder.name}.*.tmp"):
            if _is_left_behind(old):
                shutil.rmtree(old, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        for file in filter(Path.is_file, sorted(temporary.rglob("*"))):
            place = folder / file.relative_to(temporary)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, place)
        new = []
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for path in new:
            with suppress(OSError):  # something else is in it by now
                path.rmdir()


def sweep_temporary_files(folder: str | Path) -> list[Path]:
    """Remove the temporary files that killed processes left in a folder.

    A file goes if its process on this machine is dead, or if it is older than a day. Folders below
    this one, links and all other files stay.

    Returns:
        The removed files.
    """
    files = [file for file in Path(folder).glob(".*") if file.is_file() and _is_left_behind(file)]
    for file in files:
        with suppress(OSError):  # another process may sweep as well
            file.unlink()
    return files


def _temporary_name(name: str) -> str:
    return f".{name}.{_MACHINE}-{os.getpid()}.tmp"


def _is_left_behind(file: Path) -> bool:
    named = _TEMPORARY.fullmatch(file.name)
    if named is None or file.is_symlink():
        return False
    machine, process = named[1], int(named[2])
    try:
        is_old = time.time() - file.stat().st_mtime > _DAY
    except FileNotFoundError:
        return False
    return is_old or (machine == _MACHINE and not _is_alive(process))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 only asks
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    return True


def _flush_to_disk(path: Path) -> None:
    # A rename can reach the disk before the bytes do; after a power cut the file would be empty.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
