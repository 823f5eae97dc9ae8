"""Files are whole or not there."""

import errno
import os

import pytest

from mmproscale.errors import InputError
from mmproscale.utils import atomic_files
from mmproscale.utils.atomic_files import (
    _temporary_name,
    atomic_folder,
    atomic_path,
    atomic_write_bytes,
    atomic_write_text,
    ensure_writable_dir,
    sweep_temporary_files,
)


def disk_full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_writes_and_replaces(tmp_path):
    file = tmp_path / "new" / "a.txt"
    atomic_write_text(file, "grün")
    assert file.read_text(encoding="utf-8") == "grün"
    atomic_write_bytes(file, b"second")
    assert file.read_bytes() == b"second"
    assert os.listdir(file.parent) == ["a.txt"]


def test_the_temporary_path_keeps_the_suffix(tmp_path):
    with atomic_path(tmp_path / "a.png") as temporary:
        assert temporary.suffix == ".png" and temporary.parent == tmp_path
        temporary.write_bytes(b"")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    (tmp_path / "a").write_text("old")
    with pytest.raises(error), atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("ha")
        raise error
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_disk_full_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(atomic_files.os, "fsync", disk_full)
    with pytest.raises(InputError, match=r"/a cannot be written: No space left on device"):
        atomic_write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_makes_a_folder_and_leaves_it_empty(tmp_path):
    assert ensure_writable_dir(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert os.listdir(tmp_path / "a" / "b") == []


def test_a_file_in_the_folders_place(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(InputError, match=r"/a is a file: give a folder to write to"):
        ensure_writable_dir(tmp_path / "a")
    with pytest.raises(InputError, match="cannot be written to: Not a directory"):
        ensure_writable_dir(tmp_path / "a" / "b")


def test_a_folder_that_takes_no_files():
    # Even root cannot make a file there.
    with pytest.raises(InputError, match="/proc/nothing cannot be written to"):
        ensure_writable_dir("/proc/nothing")


def dead_process() -> int:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def test_temporary_files_of_dead_processes_are_swept(tmp_path):
    with atomic_path(tmp_path / "a.pth") as temporary:
        temporary.write_text("being written")
        left = temporary.name.replace(str(os.getpid()), str(dead_process()))
        (tmp_path / left).write_text("half a file")
        assert sweep_temporary_files(tmp_path) == [tmp_path / left]
    assert os.listdir(tmp_path) == ["a.pth"]


def test_a_file_of_another_machine_is_swept_after_a_day(tmp_path):
    file = tmp_path / ".a.pth.0123abcd-5.tmp.pth"
    file.touch()
    assert sweep_temporary_files(tmp_path) == []
    os.utime(file, (0, 0))
    assert sweep_temporary_files(tmp_path) == [file]


def test_files_with_other_names_links_and_folders_are_not_swept(tmp_path):
    names = ["a.tmp", ".a.tmp", ".a.5.tmp", ".git", ".a.0123abcd-5.tmp.d/x", "b.0123abcd-5.tmp"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".c.0123abcd-5.tmp").symlink_to(tmp_path / "a.tmp")
    assert sweep_temporary_files(tmp_path) == []
    assert sweep_temporary_files(tmp_path / "none") == []


def test_a_folder_is_filled_at_once(tmp_path):
    folder = tmp_path / "new/pngs"
    with atomic_folder(folder) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub/a.png").write_text("a")
        assert not list(folder.iterdir())
    assert (folder / "sub/a.png").read_text() == "a"
    with atomic_folder(folder) as temporary:
        (temporary / "b.png").write_text("b")
    assert sorted(path.name for path in folder.rglob("*.png")) == ["a.png", "b.png"]
    assert [path.name for path in folder.parent.iterdir()] == ["pngs"]


@pytest.mark.parametrize(
    "error", [ValueError("bug"), OSError(28, "No space left"), KeyboardInterrupt]
)
def test_a_folder_stays_as_it_was_after_a_failure(tmp_path, error):
    (tmp_path / "old").mkdir()
    (tmp_path / "old/a.png").write_text("old")
    for folder in (tmp_path / "old", tmp_path / "new/pngs"):
        with pytest.raises((ValueError, KeyboardInterrupt)), atomic_folder(folder) as temporary:
            (temporary / "a.png").write_text("new")
            raise error
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["old", "old/a.png"]
    assert (tmp_path / "old/a.png").read_text() == "old"


def test_a_temporary_folder_of_a_dead_process_is_removed(tmp_path):
    left = tmp_path / _temporary_name("pngs").replace(f"-{os.getpid()}.", "-999999999.")
    other = tmp_path / ".pngs.backup.tmp"
    for folder in (left, other):
        folder.mkdir()
        (folder / "a.png").touch()
    with atomic_folder(tmp_path / "pngs"):
        pass
    assert not left.exists() and other.exists()
