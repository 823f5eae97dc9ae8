"""Base of our COCO datasets: missing and broken files are refused in one line."""

import gc

import pytest
from helpers.tiny_panoptic import build, write_json, write_tiny
from torch.utils.data import DataLoader

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


def test_faults_of_the_content_are_refused(tmp_path):
    content = write_tiny(tmp_path)
    for segment in content["annotations"][0]["segments_info"]:
        segment["category_id"] = 42
    content["annotations"][1]["segments_info"][0]["area"] = None
    write_json(tmp_path, content)
    with expect_line(
        r"\[category-unknown\]", "1 more of this kind; 1 other fault, see mmproscale c"
    ):
        build(tmp_path)


def test_no_image_large_enough(tmp_path):
    write_tiny(tmp_path)
    with expect_line("no image to train on", "of 2", "min_size"):
        build(tmp_path, filter_cfg=dict(min_size=32))


def test_no_image_at_all(tmp_path):
    content = write_tiny(tmp_path)
    write_json(tmp_path, content | dict(images=[], annotations=[]))
    with expect_line("panoptic.json' has no image: name another ann_file"):
        build(tmp_path, test_mode=True)


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


def test_workers_leave_their_parents_objects_to_it(tmp_path):
    """The garbage collector would write into the memory that they share."""
    write_tiny(tmp_path)
    dataset = build(tmp_path, pipeline=[lambda item: gc.get_freeze_count()])
    workers = DataLoader(
        dataset, None, num_workers=1, multiprocessing_context="fork", collate_fn=int
    )
    assert min(workers) > 10_000 and gc.get_freeze_count() == 0
