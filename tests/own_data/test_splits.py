"""Splits by name, and a part that is set aside."""

from pathlib import Path

import pytest

from mmproscale.errors import InputError
from mmproscale.own_data.splits import one_of_split, split_of
from mmproscale.own_data.validation_split import set_aside, split_content


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("annotations/panoptic_train2017.json", "train"),
        ("annotations/instances_val.json", "val"),
        ("valid/_annotations.coco.json", "val"),
        ("images/training", "train"),
        ("train/latest.json", "train"),
        ("image_info_test-dev2017.json", "test"),
        ("constrained/all.json", None),
    ],
)
def test_names_say_the_split(path, split):
    assert split_of(Path(path)) == split


def test_two_of_one_split_are_a_question():
    root = Path("/data")
    paths = [root / "train_a.json", root / "train_b.json"]
    with pytest.raises(InputError, match=r"train_a\.json, train_b\.json; name one, --train-ann"):
        one_of_split(paths, "train", root, "--train-ann")


def test_what_names_no_split_is_to_train_on_where_alone():
    root = Path("/data")
    assert one_of_split([root / "all.json"], "train", root, "") == root / "all.json"
    assert one_of_split([root / "all.json"], "val", root, "") is None


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
