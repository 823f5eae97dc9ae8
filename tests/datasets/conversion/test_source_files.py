"""Source files: pixels as they are stored, upright sizes, JSON fields and class files."""

import json

import numpy as np
import pytest
from helpers.panoptic_files import picture, save
from PIL import ExifTags, Image

from mmproscale.datasets.conversion.source_files import (
    checked_categories,
    field,
    image_size,
    read_class_file,
    read_label_map,
    read_map_pair,
    read_pixels,
)
from mmproscale.errors import InputError


def test_pixels_are_those_of_the_file(tmp_path):
    values = np.array([[0, 300], [70, 65535]])
    save(tmp_path / "a.png", values, np.uint16)
    assert (read_pixels(tmp_path / "a.png", "map") == values).all()
    indexed = Image.fromarray(np.array([[3, 1]], np.uint8))
    indexed.putpalette([9, 8, 7] * 256)
    indexed.save(tmp_path / "b.png")
    assert read_pixels(tmp_path / "b.png", "map").tolist() == [[3, 1]]
    assert read_label_map(tmp_path / "b.png", "map").dtype == np.int32


def test_sizes_are_those_of_the_upright_image(tmp_path):
    image = Image.new("RGB", (7, 4))
    exif = image.getexif()
    for orientation, size in ((1, (4, 7)), (3, (4, 7)), (6, (7, 4))):
        exif[ExifTags.Base.Orientation] = orientation
        image.save(tmp_path / "a.jpg", exif=exif)
        assert image_size(tmp_path / "a.jpg") == size


def test_both_maps_must_have_the_size_of_the_image(tmp_path):
    picture(tmp_path / "image.jpg", 4, 7)
    save(tmp_path / "good.png", np.ones((4, 7)))
    save(tmp_path / "other.png", np.ones((7, 4)))
    image, good, other = (tmp_path / name for name in ("image.jpg", "good.png", "other.png"))
    classes, instances = read_map_pair(image, good, good)
    assert classes.dtype == np.int32 and instances.shape == (4, 7)
    for pair in ((good, other), (other, good)):
        with pytest.raises(InputError, match=r"other\.png' is 4x7 .*image\.jpg' is 7x4"):
            read_map_pair(image, *pair)


def test_missing_and_broken_images_are_named(tmp_path):
    with pytest.raises(InputError, match=r"map '.*none\.png' does not exist"):
        read_pixels(tmp_path / "none.png", "map")
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"empty\.png' \(image\) cannot be read"):
        image_size(tmp_path / "empty.png")
    picture(tmp_path / "color.png", 2, 2)
    with pytest.raises(InputError, match=r"color\.png' has 3 dimensions"):
        read_label_map(tmp_path / "color.png", "map")


@pytest.mark.parametrize(
    ("entry", "kinds", "message"),
    [
        ([], int, r"here is \[\]: expected an object"),
        ({"b": 1}, int, "here has no 'a'"),
        ({"a": "1"}, int, "'a' is '1', expected int"),
        ({"a": True}, int, "'a' is True, expected int"),
        ({"a": None}, (list, dict), "expected list or object"),
        ({"a": "x" * 99}, int, r"'a' is 'x{36}\.\.\., expected int"),
    ],
)
def test_fields_of_another_type_are_named(entry, kinds, message):
    with pytest.raises(InputError, match=message):
        field(entry, "a", kinds, "here")


def test_class_files_are_lists_or_have_categories(tmp_path):
    classes = [dict(id=3, name="car", isthing=True, color=[1, 2, 3]), dict(id=1, name="sky")]
    classes[1]["isthing"] = 0
    path = tmp_path / "classes.json"
    for content in (classes, dict(categories=classes)):
        path.write_text(json.dumps(content))
        car, sky = read_class_file(path)
        assert car == dict(id=3, name="car", isthing=1, color=[1, 2, 3])
        assert (sky["id"], sky["name"], sky["isthing"]) == (1, "sky", 0)
        assert len(sky["color"]) == 3 and all(0 <= value <= 255 for value in sky["color"])


def test_classes_without_isthing_take_the_given_value():
    entries = [dict(id=1, name="car"), dict(id=2, name="sky", isthing=0)]
    assert [c["isthing"] for c in checked_categories(entries, "here", isthing=1)] == [1, 0]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("id,name", "not valid JSON"),
        ("3", "not a list of classes"),
        ('{"classes": []}', "'categories'"),
        ('[{"id": 1, "name": "road"}]', "class 0 has no 'isthing'"),
        ('[{"id": 1, "name": "a", "isthing": 0, "color": [1, 2, 300]}]', "'color'"),
        ('[{"id": 1, "name": "a", "isthing": 0}, {"id": 1, "name": "b", "isthing": 0}]', "id"),
    ],
)
def test_faults_of_a_class_file_are_named(tmp_path, content, part):
    (tmp_path / "classes.json").write_text(content)
    with pytest.raises(InputError, match=rf"classes\.json.*{part}"):
        read_class_file(tmp_path / "classes.json")
