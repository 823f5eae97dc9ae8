"""Files that a path stands for, and the names of their results."""

import re
from pathlib import Path

import pytest

from mmproscale.errors import InputError
from mmproscale.utils.image_inputs import (
    expand_inputs,
    find_images,
    image_ids,
    result_names,
    visible,
)


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("b.jpg", "a.PNG", "notes.txt", "left/1.jpg", "right/1.jpg", "right/1.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_file_folder_and_pattern(folder):
    assert find_images(f"{folder}/b.jpg") == [folder / "b.jpg"]
    assert find_images(str(folder)) == [folder / "a.PNG", folder / "b.jpg"]
    assert find_images(f"{folder}/*") == [folder / "a.PNG", folder / "b.jpg"]
    assert len(find_images(f"{folder}/**/*.jpg")) == 3


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("gone.jpg", "gone.jpg not found"),
        ("empty", "no image .* in .*empty; for subfolders"),
        ("*.tif", r"no image .* matches .*\*\.tif"),
        ("*.txt", "no image"),
    ],
)
def test_nothing_there(folder, source, says):
    with pytest.raises(InputError, match=says):
        find_images(f"{folder}/{source}")


def test_names_are_stems_unless_they_collide(folder):
    paths = find_images(f"{folder}/**/*.[jp][pn]g")
    names = dict(zip([str(p.relative_to(folder)) for p in paths], result_names(paths), strict=True))
    assert names == {
        "b.jpg": "b",
        "left/1.jpg": "left-1",
        "right/1.jpg": "right-1-jpg",
        "right/1.png": "right-1-png",
    }


def test_names_that_cannot_be_told_apart():
    paths = [Path("x/a-b.jpg"), Path("x/a/b.jpg"), Path("x/c/a-b.jpg"), Path("x/b.jpg")]
    with pytest.raises(InputError, match="would be written as 'a-b-jpg'"):
        result_names(paths)


def test_ids_are_the_names_where_these_are_numbers():
    assert image_ids(["000000439180", "000000142238"]) == [439180, 142238]
    assert image_ids(["1", "01"]) == [1, 2]
    assert image_ids(["frame", "7"]) == [1, 2]


def test_inputs_of_a_command_line(tmp_path):
    for name in ("a.jpg", "b.png", "clip.MP4"):
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text(f"{tmp_path}/b.png\n\n  {tmp_path}/a.jpg \n")
    images, videos = expand_inputs([f"@{tmp_path}/list.txt", str(tmp_path / "*.jpg"), "0"])
    assert images == [tmp_path / "b.png", tmp_path / "a.jpg"], "each once"
    assert videos == [0]
    assert expand_inputs([f"{tmp_path}/clip.MP4"]) == ([], [f"{tmp_path}/clip.MP4"])


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("@none.txt", "'none.txt' cannot be read"),
        ("@empty.txt", "list empty.txt names no image"),
        ("clip.avi", "clip.avi not found: name a video"),
    ],
)
def test_inputs_that_are_not_there(tmp_path, monkeypatch, source, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match=re.escape(text)):
        expand_inputs([source])


def test_hidden_files_are_no_images(folder):
    (folder / "._b.jpg").touch()
    assert find_images(str(folder)) == [folder / "a.PNG", folder / "b.jpg"]
    assert find_images(f"{folder}/*.jpg") == [folder / "b.jpg"]
    paths = [folder / ".cache/1.jpg", folder / "left/1.jpg", folder / "._b.jpg"]
    assert list(visible(paths, folder)) == [folder / "left/1.jpg"]


@pytest.mark.parametrize("name", ["photos [1]", "[x]y[z]"])
def test_brackets_of_a_name_are_explained(folder, name):
    (folder / name).mkdir()
    (folder / name / "1.jpg").touch()
    with pytest.raises(
        InputError, match=r"\[ \] in a pattern stand for .* matches 1 image"
    ) as caught:
        find_images(f"{folder}/{name}/*.jpg")
    pattern = str(caught.value).rpartition("bracket: '")[2].partition("'")[0]
    assert find_images(pattern) == [folder / name / "1.jpg"]
    assert find_images(f"{folder}/{name}") == [folder / name / "1.jpg"]


def test_a_list_may_have_a_byte_order_mark(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "list.txt").write_bytes("b.jpg\r\na.PNG\r\n".encode("utf-16"))
    assert expand_inputs(["@list.txt"])[0] == [Path("b.jpg"), Path("a.PNG")]
