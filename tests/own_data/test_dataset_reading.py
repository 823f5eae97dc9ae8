"""Reading of a dataset: class names, images that are set aside, splits that are asked for."""

import json

import pytest
from helpers.own_data import write_panoptic, write_semantic

from mmproscale.errors import InputError
from mmproscale.own_data.data_search import SearchOptions, find_data
from mmproscale.own_data.dataset_reading import (
    ReadingOptions,
    find_class_file,
    read_class_names,
    read_data,
    set_aside,
    split_content,
    stored_size,
)


def test_a_share_is_set_aside_by_the_seed():
    train, val = set_aside(20, 0.1, seed=3)
    assert len(val) == 2 and sorted(train + val) == list(range(20))
    assert set_aside(20, 0.1, seed=3) == (train, val) != set_aside(20, 0.1, seed=4)
    assert [len(part) for part in set_aside(2, 0.9, seed=0)] == [1, 1]
    with pytest.raises(InputError, match="1 annotated image can't be split"):
        set_aside(1, 0.5, seed=0)


def test_annotations_go_with_their_images():
    content = dict(
        images=[dict(id=i) for i in range(6)],
        annotations=[dict(id=i, image_id=i // 2) for i in range(10)],
        categories=[dict(id=1)],
    )
    parts = split_content(content, 0.4, seed=0)
    for part in parts:
        ids = {image["id"] for image in part["images"]}
        assert {a["image_id"] for a in part["annotations"]} == ids
        assert part["categories"] == content["categories"]
    assert sum(len(part["images"]) for part in parts) == 5  # the sixth is not annotated


def test_maps_that_are_set_aside_are_listed_next_to_the_config(tmp_path):
    root = write_semantic(tmp_path / "data", splits=("train",))
    found, done = find_data(root, SearchOptions()), []
    options = ReadingOptions(tmp_path / "mine.py", val_share=0.4, zero_is_void=True)
    data = read_data(found, options, lambda *progress: done.append(progress))
    assert done == [("train", count, 5) for count in range(1, 6)]
    assert data.found.val.names == tmp_path / "mine_val.txt"
    train, val = (data.lists[tmp_path / f"mine_{split}.txt"].split() for split in ("train", "val"))
    assert len(val) == data.facts.val_images == 2
    assert sorted(train + val) == ["0", "1", "2", "3", "4"]
    assert data.zero_is_void and (data.endings.image, data.endings.map) == (".jpg", "_map.png")


def test_a_share_is_for_data_without_a_validation_split(tmp_path):
    root = write_semantic(tmp_path / "data")
    options = ReadingOptions(tmp_path / "mine.py", val_share=0.4)
    with pytest.raises(InputError, match=r"--val-share: .* is a validation split"):
        read_data(find_data(root, SearchOptions()), options, print)


def test_class_names_of_both_formats(tmp_path):
    text, names = tmp_path / "labels.txt", tmp_path / "names.json"
    text.write_text("road\n tree \n\n")
    assert read_class_names(text) == ("road", "tree")
    for content in (["road", "tree"], [dict(id=0, name="road"), dict(id=1, name="tree")]):
        names.write_text(json.dumps(content))
        assert read_class_names(names) == ("road", "tree")
    assert find_class_file(tmp_path, None) == text
    assert find_class_file(tmp_path, names.relative_to(tmp_path)) == names


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.txt", "road\nroad", "has 'road' twice"),
        ("a.txt", " \n", "has no name"),
        ("a.json", "[", "is not valid JSON"),
        ("a.json", "[1]", "is not a list of names"),
    ],
)
def test_bad_class_files_are_refused(tmp_path, name, content, fault):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=fault):
        read_class_names(tmp_path / name)


def test_the_size_is_known_without_a_check(tmp_path):
    panoptic, semantic = write_panoptic(tmp_path / "p"), write_semantic(tmp_path / "s")
    assert stored_size(find_data(panoptic, SearchOptions())) == (64, 64)
    assert stored_size(find_data(semantic, SearchOptions())) == (96, 64)
