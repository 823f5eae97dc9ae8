"""Missing files: folders, files in subfolders, and names that differ in case."""

import pytest

from mmproscale.datasets.checks.missing_files import is_local, missing_files


def find(folder, *names):
    return list(missing_files(str(folder), names, "image", "a.json"))


def test_files_may_be_in_subfolders(tmp_path):
    (tmp_path / "city").mkdir()
    for name in ("a.jpg", "city/b.jpg"):
        (tmp_path / name).touch()
    assert not find(tmp_path, "a.jpg", "city/b.jpg")
    faults = find(tmp_path, "b.jpg", "city/b.jpg", "town/b.jpg")
    assert [fault.file for fault in faults] == [f"{tmp_path}/b.jpg", f"{tmp_path}/town/b.jpg"]
    assert {fault.kind for fault in faults} == {"image-missing"}
    assert "named in 'a.json'" in faults[0].problem


def test_a_name_that_differs_in_case_is_suggested(tmp_path):
    (tmp_path / "A.jpg").touch()
    (fault,) = find(tmp_path, "a.JPG")
    assert "but 'A.jpg' does: names differ in case" in fault.problem


def test_a_missing_folder_is_one_fault(tmp_path):
    (fault,) = find(tmp_path / "images", "a.jpg", "b.jpg")
    assert fault.kind == "image-folder-missing" and fault.file == f"{tmp_path}/images"


@pytest.mark.parametrize(
    ("path", "backend_args", "local"),
    [
        ("/data", None, True),
        ("data", dict(backend="disk"), True),
        ("s3://data", None, False),
        ("/data", dict(backend="petrel"), False),
    ],
)
def test_local_disks(path, backend_args, local):
    assert is_local(path, backend_args) == local
