"""COCO instances become COCO panoptic: order of overlaps, crowds, stuff and the rest class."""

import json

import numpy as np
import pytest
from helpers.panoptic_files import picture, read_truth
from pycocotools import mask as rle_tools

CAT, DOG, GRASS, OTHER = 3, 5, 90, 183
HEIGHT, WIDTH = 8, 12


def box(x, y, right, bottom):
    return [[x, y, right, y, right, bottom, x, bottom]]


def rle(compressed, rows, columns):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[rows, columns] = 1
    if compressed:
        return rle_tools.encode(mask) | {"counts": rle_tools.encode(mask)["counts"].decode()}
    flat = np.concatenate([[0], mask.ravel("F"), [2]])
    edges = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], edges])).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": counts}


LARGER = {
    "size": [HEIGHT, WIDTH],
    "counts": rle_tools.encode(np.ones((20, 20), np.uint8, order="F"))["counts"].decode(),
}


def annotation(number, category, outline, image=7, crowd=0):
    return dict(
        id=number, image_id=image, category_id=category, iscrowd=crowd, segmentation=outline
    )


@pytest.fixture
def files(tmp_path):
    """Two cats, one under a dog; a crowd of dogs; two pieces of grass, under all of them."""
    for name in ("photos/b.jpg", "photos/sub/a.jpg"):
        picture(tmp_path / name, HEIGHT, WIDTH)
    images = [
        dict(id=7, file_name="b.jpg", height=HEIGHT, width=WIDTH),
        dict(id=2, file_name="sub/a.jpg", height=HEIGHT, width=WIDTH),
    ]
    instances = dict(
        images=images,
        annotations=[
            annotation(1, DOG, box(2, 2, 4, 4)),
            annotation(2, CAT, box(0, 0, 6, 6)),
            annotation(3, CAT, rle(True, slice(1, 3), slice(7, 9))),
            annotation(4, DOG, rle(False, slice(0, 8), slice(4, 9)), crowd=1),
            annotation(5, DOG, box(2, 2, 4, 4)),  # hides the first
        ],
        categories=[dict(id=DOG, name="dog"), dict(id=CAT, name="cat")],
    )
    stuff = dict(
        images=images,
        annotations=[
            annotation(1, GRASS, box(0, 7, 3, 8)),
            annotation(2, GRASS, box(5, 5, 12, 8)),
            annotation(3, OTHER, box(9, 0, 12, 3)),
        ],
        categories=[dict(id=GRASS, name="grass"), dict(id=OTHER, name="other")],
    )
    for name, content in (("instances.json", instances), ("stuff.json", stuff)):
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


def convert(run_tool, files, *options):
    arguments = [files / "instances.json", files / "photos", "--out", files / "mine"]
    return run_tool("datasets/from_polygons.py", *arguments, "--workers", 1, *options)


def truths(files, split="train"):
    stem = files / "mine/annotations" / f"panoptic_{split}"
    return read_truth(stem.with_suffix(".json"), stem)


def expected_things():
    categories = np.zeros((HEIGHT, WIDTH), int)
    categories[:, 4:9] = DOG  # the crowd
    categories[:6, :6] = CAT
    categories[1:3, 7:9] = CAT
    categories[2:4, 2:4] = DOG
    crowd = np.zeros((HEIGHT, WIDTH), bool)
    crowd[:, 4:9] = True
    crowd[:6, :6] = crowd[1:3, 7:9] = False
    return categories, crowd


def test_smaller_things_are_on_top_and_the_rest_is_void(files, run_tool):
    status, out, err = convert(run_tool, files)
    assert status == 0, err
    assert "2 images, 4 segments, 2 things and 0 stuff classes" in out
    made = truths(files)
    assert list(made) == [7, 2] and made[2].image["file_name"] == "sub/a.jpg"
    categories, crowd = expected_things()
    assert (made[7].categories == categories).all() and (made[7].crowd == crowd).all()
    assert not made[2].ids.any()
    assert (files / "mine/annotations/panoptic_train/sub/a.png").is_file()
    assert not (files / "mine/train").exists()


def test_stuff_lies_under_things_as_one_segment_and_the_rest_can_be_a_class(files, run_tool):
    options = ["--stuff-json", files / "stuff.json", "--rest", "floor", "--drop", "other"]
    status, out, err = convert(run_tool, files, *options, "--copy-images", "--split", "val")
    assert status == 0, err
    assert "2 things and 2 stuff" in out
    made = truths(files, "val")
    expected, _ = expected_things()
    under = np.full((HEIGHT, WIDTH), OTHER + 1)  # floor
    under[7:, :3] = under[5:, 5:] = GRASS
    assert (made[7].categories == np.where(expected, expected, under)).all()
    assert len(np.unique(made[7].ids[made[7].categories == GRASS])) == 1
    assert (made[2].categories == OTHER + 1).all()
    assert (files / "mine/val/sub/a.jpg").read_bytes() == (files / "photos/sub/a.jpg").read_bytes()


def test_existing_files_need_overwrite(files, run_tool):
    assert convert(run_tool, files)[0] == 0
    status, _, err = convert(run_tool, files)
    assert status == 2 and "panoptic_train.json exists" in err and "--overwrite" in err
    assert convert(run_tool, files, "--overwrite")[0] == 0


def _spoil(key, value, index=0):
    return lambda content: content["annotations"][index].update({key: value})


def _cut_code(content):
    """Reading on behind its end may give the rest of an object, or crash."""
    whole = rle(True, slice(1, 5), slice(2, 9))
    content["annotations"][0]["segmentation"] = whole | {"counts": whole["counts"][:-1]}


def _no_outline(content):
    del content["annotations"][1]["segmentation"]


def _no_height(content):
    del content["images"][0]["height"]


def _not_coco(content):
    del content["images"]


def _named(name):
    return lambda content: content["images"][1].update(file_name=name)


def _id_twice(content):
    content["images"][1]["id"] = 7


def _other_height(content):
    content["images"][0]["height"] = 9


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (_spoil("segmentation", [[1, 2, 3, 4]]), ("annotations[0]", "polygon-short")),
        (_spoil("segmentation", [[1, 2, 3, 4, "5", 6]]), ("annotations[0]", "polygon-type")),
        (_spoil("segmentation", []), ("annotations[0]", "mask-missing")),
        (_spoil("segmentation", "RLE"), ("annotations[0]", "mask-type")),
        (_no_outline, ("annotations[1]", "mask-missing")),
        (_spoil("segmentation", {"size": [2, 2], "counts": [4]}), ("annotations[0]", "[2, 2]")),
        (
            _spoil("segmentation", {"size": [8, 12], "counts": [4]}),
            ("annotations[0]", "rle-counts"),
        ),
        (_spoil("segmentation", LARGER), ("annotations[0]", "rle-counts")),
        (_cut_code, ("annotations[0]", "rle-counts")),
        (_spoil("category_id", 44), ("annotation 1", "category_id 44")),
        (_spoil("image_id", 44), ("annotations[0].image_id", "44")),
        (_no_height, ("images[0].height", "missing")),
        (_other_height, ("annotations[2]", "rle-size", "[9, 12]")),
        (_named("/photos/a.jpg"), ("images[1]", "/photos/a.jpg", "relative")),
        (_named("../a.jpg"), ("images[1]", "../a.jpg", "leaves")),
        (_named("b.png"), ("several images", "'b'")),
        (_named("gone.jpg"), ("gone.jpg", "image-missing")),
        (_id_twice, ("images[1].id", "two images have one id")),
        (_not_coco, ("not COCO", "'images'")),
    ],
)
def test_a_fault_is_one_line_and_leaves_no_json(files, run_tool, spoil, parts):
    content = json.loads((files / "instances.json").read_text())
    spoil(content)
    (files / "instances.json").write_text(json.dumps(content))
    status, _, err = convert(run_tool, files)
    message = err[err.index("error: ") :]
    assert status == 2 and message.count("\n") == 1
    assert all(part in message for part in parts), message
    assert not (files / "mine/annotations/panoptic_train.json").exists()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--rest", "cat"], "--rest cat"),
        (["--drop", "cow"], "--drop cow"),
        (["--workers", "0"], "--workers 0"),
    ],
)
def test_unsuitable_options_are_named(files, run_tool, options, part):
    status, _, err = convert(run_tool, files, *options)
    assert status == 2 and part in err and err.count("\n") == 1
