"""labelme's files become COCO panoptic: every shape with an area, groups, embedded images."""

import base64
import io
import json

import numpy as np
import pytest
from helpers.panoptic_files import picture, read_truth
from PIL import Image

HEIGHT, WIDTH = 20, 30


def shape(label, points, kind="polygon", group=None, **more):
    return dict(label=label, points=points, shape_type=kind, group_id=group, flags={}, **more)


def embedded(pixels, form):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return base64.b64encode(buffer.getvalue()).decode()


CORNER = np.array([[1, 0], [1, 1]], bool)
SHAPES = [
    shape("cat", [[2, 2], [6, 2], [6, 6], [2, 6]]),
    shape("grass", [[0, 0], [30, 10]], "rectangle"),
    shape("ball", [[15, 15], [19, 15]], "circle"),
    shape("cat", [[20, 2], [22, 4]], "rectangle", group=1),
    shape("cat", [[28, 4], [26, 2]], "rectangle", group=1),
    shape("spot", [[5, 12], [6, 13]], "mask", mask=embedded(CORNER, "PNG")),
    shape("__ignore__", [[0, 18], [30, 20]], "rectangle"),
    shape("tail", [[1, 1], [2, 2]], "line"),
]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "labelled"
    picture(folder / "photos/1.jpg", HEIGHT, WIDTH)
    write(folder, "1", SHAPES, "photos\\1.jpg")
    return folder


def write(folder, name, shapes, image, data=None):
    content = dict(version="5.4.1", flags={}, shapes=shapes, imagePath=image, imageData=data)
    content |= dict(imageHeight=HEIGHT, imageWidth=WIDTH)
    (folder / f"{name}.json").write_text(json.dumps(content))


def convert(run_tool, folder, *options):
    out = ["--out", folder.parent / "mine", "--workers", 1]
    return run_tool("datasets/from_labelme.py", folder, *out, *options)


THINGS = ["--things", "cat", "ball", "spot"]


def truths(folder):
    stem = folder.parent / "mine/annotations/panoptic_train"
    content = json.loads(stem.with_suffix(".json").read_text())
    return content["categories"], read_truth(stem.with_suffix(".json"), stem)


def test_every_shape_with_an_area_is_a_segment(folder, run_tool):
    status, out, err = convert(run_tool, folder, *THINGS)
    assert status == 0, err
    assert "1 images, 5 segments, 3 things and 1 stuff" in out
    assert (
        "5 shapes drawn" not in out and "6 shapes drawn, 1 left no pixel (1 points and lines" in out
    )
    categories, made = truths(folder)
    assert [(c["id"], c["name"], c["isthing"]) for c in categories] == [
        (1, "ball", 1),
        (2, "cat", 1),
        (3, "grass", 0),
        (4, "spot", 1),
    ]
    truth = made[1]
    assert truth.image == dict(id=1, file_name="photos/1.jpg", height=HEIGHT, width=WIDTH)
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[:10] = 3
    expected[2:6, 2:6] = expected[2:4, 20:22] = expected[2:4, 26:28] = 2
    expected[12:14, 5:7][CORNER] = 4
    ball = truth.categories == 1
    assert (np.where(ball, 0, truth.categories) == expected).all()
    assert ball.sum() == pytest.approx(np.pi * 16, rel=0.1)
    rows, columns = np.nonzero(ball)
    assert (rows.mean(), columns.mean()) == pytest.approx((14.5, 14.5), abs=0.5)
    assert truth.ids[2, 20] == truth.ids[2, 26] != truth.ids[2, 2]


def test_an_embedded_image_is_written_and_classes_come_from_a_file(folder, run_tool):
    pixels = np.full((HEIGHT, WIDTH, 3), 70, np.uint8)
    write(folder, "2", SHAPES[:2], "..\\away\\2.png", embedded(pixels, "PNG"))
    (folder.parent / "classes.json").write_text(
        json.dumps(
            [
                dict(id=number, name=name, isthing=int(name != "grass"))
                for number, name in enumerate(["spot", "ball", "grass", "cat"], start=5)
            ]
        )
    )
    options = ["--classes", folder.parent / "classes.json"]
    status, _, err = convert(run_tool, folder, *options)
    assert status == 2 and "2.json" in err and "--copy-images" in err
    status, _, err = convert(run_tool, folder, *options, "--copy-images")
    assert status == 0, err
    _, made = truths(folder)
    assert made[2].image["file_name"] == "2.png" and made[1].image["file_name"] == "1.jpg"
    assert (made[2].categories[2:6, 2:6] == 8).all() and made[2].categories[0, 0] == 7
    copies = folder.parent / "mine/train"
    assert (np.asarray(Image.open(copies / "2.png")) == pixels).all()
    assert (copies / "1.jpg").read_bytes() == (folder / "photos/1.jpg").read_bytes()


@pytest.mark.parametrize(
    ("bad", "parts"),
    [
        (dict(label="cat"), ("polygon 'cat'", "no 'points'")),
        (shape("cat", [1, 2]), ("polygon 'cat'", "pairs")),
        (shape("cat", [[1, 2], [3, 4], [5, 6]], "circle"), ("circle 'cat'", "two pairs")),
        (shape("cat", [[1, 2], [3, 4]], "star"), ("star 'cat'", "unknown type")),
        (shape("cat", [[1, 2], [3, 4]], "mask", mask="?"), ("mask 'cat'", "not base64")),
        (
            shape("cat", [[1, 2], [3, 4]], "mask", mask="aaaa"),
            ("mask 'cat'", "not a readable image"),
        ),
        (
            shape("cat", [[1, 2], [9, 4]], "mask", mask=embedded(CORNER, "PNG")),
            ("mask 'cat'", "2x2"),
        ),
        (shape("cat", [[1, 2], [3, 4]], []), ("shape 0", "'shape_type'")),
        (dict(points=[]), ("shape 0", "'label'")),
    ],
)
def test_a_bad_shape_is_one_line_and_leaves_no_json(folder, run_tool, bad, parts):
    write(folder, "3", [bad, *SHAPES], "photos/1.jpg")
    status, _, err = convert(run_tool, folder, *THINGS)
    message = err[err.index("error: ") :]
    assert status == 2 and message.count("\n") == 1
    assert all(part in message for part in ("3.json", *parts)), message
    assert not (folder.parent / "mine/annotations/panoptic_train.json").exists()


def test_unsuitable_options_and_files_are_named(folder, run_tool):
    status, _, err = convert(run_tool, folder, "--things", "cow")
    assert status == 2 and "--things cow" in err and err.count("\n") == 1
    status, _, err = convert(run_tool, folder)
    assert status == 2 and "--things" in err and "--classes" in err
    write(folder, "4", SHAPES, "gone.jpg")
    status, _, err = convert(run_tool, folder, *THINGS)
    assert status == 2 and "4.json" in err and "gone.jpg" in err and err.count("\n") == 1
    status, _, err = convert(run_tool, folder / "photos", *THINGS)
    assert status == 2 and "no JSON file" in err and err.count("\n") == 1
    (folder / "5.json").write_text("[]")
    status, _, err = convert(run_tool, folder, *THINGS)
    assert status == 2 and "4.json" in err


def test_a_label_without_a_class_is_named(folder, run_tool):
    (folder.parent / "classes.json").write_text('[{"id": 1, "name": "cat", "isthing": 1}]')
    status, _, err = convert(run_tool, folder, "--classes", folder.parent / "classes.json")
    assert status == 2 and "1.json" in err and "'grass'" in err and err.count("\n") == 1
