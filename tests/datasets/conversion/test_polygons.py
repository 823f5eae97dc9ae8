"""COCO instances become COCO panoptic: order of overlaps, crowds, stuff and the rest class."""

import json

import numpy as np
import pytest
from helpers.panoptic_files import picture, read_truth
from PIL import Image
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


def change(files, *changes, name="instances.json"):
    content = json.loads((files / name).read_text())
    for one in changes:
        one(content)
    (files / name).write_text(json.dumps(content))


def test_slips_of_tools_are_read_and_said(files, run_tool):
    parts = [[2, 2], *box(2, 2, 4, 4), [5, 5, 6, 6]]
    flat = box(0, 0, 6, 6)[0]
    change(files, _spoil("segmentation", parts), _spoil("segmentation", flat, 1))
    change(files, _spoil("segmentation", [[2, 2]] + box(2, 2, 4, 4), 4))
    status, out, err = convert(run_tool, files)
    assert status == 0, err
    assert "note: 2 [polygon-sliver]" in out and "note: 1 [polygon-flat]" in out
    assert (truths(files)[7].categories == expected_things()[0]).all()


def test_outlines_that_leave_no_pixel_are_counted(files, run_tool):
    change(files, _spoil("segmentation", box(-5, 1, -2, 4), 1))
    status, out, err = convert(run_tool, files)
    assert status == 0, err
    assert out.splitlines()[-1].startswith("3 shapes drawn, 2 left no pixel (")
    assert "1 under other outlines, first: '" in out and "annotation 1" in out
    assert "1 outside the image, first: '" in out and "annotation 2" in out


@pytest.mark.parametrize("count", [1, 2, 3])
def test_crowds_of_a_class_are_merged_and_counted(files, run_tool, count):
    crowds = [annotation(20 + i, CAT, box(2 * i, 0, 2 * i + 1, 8), crowd=1) for i in range(count)]
    change(files, lambda content: content.update(annotations=crowds + content["annotations"][:1]))
    status, out, err = convert(run_tool, files)
    assert status == 0, err
    merged = f" ({count - 1} more were merged into them)" if count > 1 else ""
    assert (
        f"2 segments, 2 things and 0 stuff classes; 1 of the segments are crowds{merged}\n" in out
    )
    assert "warning: class 'cat' occurs as crowd only (1 segment)" in out
    assert truths(files)[7].crowd.sum() == 8 * count - 2 * (count > 1)


@pytest.mark.parametrize("objects", [5, 2])
def test_crowds_and_nothing_else_are_refused(files, run_tool, objects):
    change(files, lambda c: c.update(annotations=[a | dict(iscrowd=1) for a in c["annotations"]]))
    change(files, lambda c: c.update(annotations=c["annotations"][:objects]))
    status, _, err = convert(run_tool, files)
    assert status == 2 and "[no-instance]" in err and f"are {objects} crowds" in err
    assert "set iscrowd to 0" in err and not (files / "mine").exists()


def test_a_turned_image_has_the_hint_of_the_check(files, run_tool):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(files / "photos/b.jpg", exif=exif)
    status, _, err = convert(run_tool, files)
    assert status == 2 and "[image-size]" in err and "EXIF" in err and "8x12" in err


def test_all_faults_of_images_and_objects_are_listed(files, run_tool):
    change(files, *(_spoil("segmentation", [[1, 2, 3, 4]], index) for index in range(4)))
    status, _, err = convert(run_tool, files)
    assert status == 2 and err.count("fault: [polygon-short]") == 4
    assert "nothing was written for 4 faults, all listed above" in err.splitlines()[-1]


@pytest.mark.parametrize(("number", "status"), [(65535, 0), (65536, 0), (2**31, 2), (-1, 2)])
def test_ids_of_categories_beyond_a_format_are_said(files, run_tool, number, status):
    def renumber(content):
        content["categories"][0]["id"] = number
        for entry in content["annotations"]:
            entry["category_id"] = number if entry["category_id"] == DOG else CAT

    change(files, renumber)
    found, out, err = convert(run_tool, files)
    assert found == status
    assert ("semantic PNGs of predictions hold ids to 65535" in out) == (number == 65536)
    assert status == 0 or "[category-id-range]" in err
