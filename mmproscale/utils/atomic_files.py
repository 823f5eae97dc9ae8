"""Files that are either whole or absent: written under a temporary name, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmproscale.errors import InputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is renamed to `path`.

    If the block raises, an earlier file at `path` stays and the temporary file is removed.

    Raises:
        InputError: The file cannot be written (no permission, disk full).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
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
    probe = folder / f".writable.{os.getpid()}.tmp"
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


def _flush_to_disk(path: Path) -> None:
    # A rename can reach the disk before the bytes do; after a power cut the file would be empty.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
