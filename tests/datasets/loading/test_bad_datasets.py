"""Every way in which a dataset can be wrong is one line that says what to mend."""

import pytest
from helpers.tiny_panoptic import build, write_json, write_tiny

from mmproscale.errors import InputError


def expect_line(*parts: str):
    """Expect an InputError of one line that has all `parts`."""
    pattern = "".join(f"(?=.*{part})" for part in parts)
    return pytest.raises(InputError, match=rf"\A{pattern}.*\Z")


def test_missing_root_says_what_is_expected_where(tmp_path):
    layout = dict(
        ann_file="annotations/panoptic_train.json",
        data_prefix=dict(img="train/", seg="annotations/panoptic_train/"),
    )
    parts = ("nowhere", "train/ ", "annotations/panoptic_train.json", "annotations/panoptic_train/")
    with expect_line(*parts, "make it"):
        build(tmp_path / "nowhere", **layout, hint="make it")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (None, ("panoptic.json", "does not exist", "ann_file")),
        ("{broken", ("panoptic.json", "not valid JSON")),
        ("[]", ("panoptic.json", "is not COCO")),
        ('{"images": [], "categories": []}', ("panoptic.json", "'annotations'")),
        ('{"images": [], "annotations": []}', ("panoptic.json", "'categories'")),
    ],
)
def test_bad_annotation_file(tmp_path, text, parts):
    if text is not None:
        (tmp_path / "panoptic.json").write_text(text)
    with expect_line(*parts):
        build(tmp_path)


def _instances_json(content):
    content["annotations"] = [dict(image_id=0, segmentation=[], category_id=3)]


def _unknown_category(content):
    content["annotations"][0]["segments_info"][1]["category_id"] = 42


def _no_isthing(content):
    del content["categories"][1]["isthing"]


def _id_twice(content):
    content["categories"][1]["id"] = 7


def _no_height(content):
    del content["images"][0]["height"]


def _other_image(content):
    content["annotations"][1]["image_id"] = 77


def _annotated_twice(content):
    content["annotations"][1]["image_id"] = 0


def _no_segment(content):
    for annotation in content["annotations"]:
        annotation["segments_info"] = []


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (_instances_json, ("COCO instances, not panoptic", "'segments_info'")),
        (_unknown_category, ("segment 70000", "0.jpg", "category_id 42")),
        (_no_isthing, ("cow", "'isthing'")),
        (_id_twice, ("two categories", "id is 7")),
        (_no_height, ("'height'",)),
        (_other_image, ("no image", "77")),
        (_annotated_twice, ("two annotations", "id is 0")),
        (_no_segment, ("no image with a segment", "2 images")),
    ],
)
def test_bad_content(tmp_path, spoil, parts):
    content = write_tiny(tmp_path)
    spoil(content)
    write_json(tmp_path, content)
    with expect_line("panoptic.json", *parts):
        build(tmp_path)


def test_no_image_large_enough(tmp_path):
    write_tiny(tmp_path)
    with expect_line("no image to train on", "of 2", "min_size"):
        build(tmp_path, filter_cfg=dict(min_size=32))


@pytest.mark.parametrize(("folder", "what"), [("images", "image"), ("pngs", "png")])
def test_missing_folder_and_files(tmp_path, folder, what):
    write_tiny(tmp_path)
    files = sorted((tmp_path / folder).iterdir())
    files[1].unlink()
    with expect_line(rf"\[{what}-missing\]", files[1].name, "panoptic.json"):
        build(tmp_path)
    (tmp_path / folder).rename(tmp_path / "elsewhere")
    with expect_line(rf"\({what} folder\)", folder, "does not exist"):
        build(tmp_path)


def test_files_may_lie_in_subfolders(tmp_path):
    content = write_tiny(tmp_path)
    (tmp_path / "images" / "city").mkdir()
    (tmp_path / "images" / "1.jpg").rename(tmp_path / "images" / "city" / "1.jpg")
    content["images"][1]["file_name"] = "city/1.jpg"
    write_json(tmp_path, content)
    assert build(tmp_path)[1]["img"].shape == (4, 6, 3)
    content["images"][1]["file_name"] = "town/1.jpg"
    write_json(tmp_path, content)
    with expect_line("town/1.jpg", r"\[image-missing\]"):
        build(tmp_path)


@pytest.mark.parametrize("prefix", [dict(img="images/"), dict(seg="pngs/"), dict(img=None)])
def test_unset_folder_names_its_key(tmp_path, prefix):
    write_tiny(tmp_path)
    with expect_line(r"data_prefix\.", "is not set"):
        build(tmp_path, data_prefix=prefix)


def test_other_classes_than_the_config_says(tmp_path):
    write_tiny(tmp_path)
    with expect_line(r"metainfo\.classes", "horse", "cow"):
        build(tmp_path, metainfo=dict(classes=("horse", "grass", "sky")))
    with expect_line(r"metainfo\.thing_classes", "grass"):
        build(tmp_path, metainfo=dict(thing_classes=("cow", "grass")))
