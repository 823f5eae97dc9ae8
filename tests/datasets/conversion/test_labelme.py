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
    assert "1 image, 5 segments, 3 things and 1 stuff" in out
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


def box(label, left, top, right, bottom, kind="polygon", **more):
    points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return shape(label, points, kind, **more)


def areas(folder, image=1):
    """Return the number of pixels of each class, 'void' included."""
    categories, made = truths(folder)
    names = {0: "void"} | {category["id"]: category["name"] for category in categories}
    values, counts = np.unique(made[image].categories, return_counts=True)
    return {
        names[value]: count for value, count in zip(values.tolist(), counts.tolist(), strict=True)
    }


ALL, SKY, CAR = HEIGHT * WIDTH, box("sky", 0, 0, 30, 10), box("car", 0, 8, 10, 14)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([box("car", 0, 0, 10, 10), box("_background_", 2, 2, 6, 6)], dict(car=84)),
        ([SKY, CAR, box("__ignore__", 5, 5, 15, 10)], dict(sky=300 - 20 - 40, car=60 - 10)),
        ([box("__ignore__", 0, 0, 30, 20), SKY, CAR], dict(sky=280, car=60)),
        ([SKY, box("__hole__", 0, 0, 30, 5), box("car", 0, 0, 4, 4)], dict(sky=150, car=16)),
        ([box("car", 0, 0, 4, 4, group=1), box("__x__", 0, 0, 4, 2)], dict(car=8)),
    ],
)
def test_a_void_shape_erases_the_shapes_before_it(folder, run_tool, shapes, expected):
    write(folder, "1", shapes, "photos/1.jpg")
    status, out, err = convert(run_tool, folder, "--things", "car")
    assert status == 0, err
    assert areas(folder) == expected | dict(void=ALL - sum(expected.values()))
    assert "none left no pixel" in out


def test_shapes_that_leave_no_pixel_are_counted_with_the_reason(folder, run_tool):
    lost = [
        shape("cat", [[1, 2], [3, 4]]),
        shape("cat", [[1, 2]], "circle"),
        shape("cat", [[5, 5], [5, 5]], "circle"),
        shape("cat", [[5, 5], [9, 5]], "rectangle"),
        box("cat", 50, 5, 60, 9),
        box("cat", -20, -20, -3, -3),
        shape("cat", [[1, 2]], "point"),
        box("grass", 14, 0, 18, 4),
        box("cat", 4, 14, 8, 18),
    ]
    whole = [box("dog", 14, 0, 18, 4), box("cat", 20, 10, 25, 15), box("__void__", 4, 14, 8, 18)]
    write(folder, "1", lost + whole, "photos/1.jpg")
    status, out, err = convert(run_tool, folder, "--things", "cat", "dog")
    assert status == 0, err
    last = out.splitlines()[-1]
    assert last.startswith("2 shapes drawn, 9 left no pixel (")
    reasons = "2 of too few points, 2 of no area, 2 outside the image, 1 points and lines"
    for reason in (*reasons.split(", "), "1 under other shapes", "1 under a void shape"):
        assert reason in last, last
    assert "'cat' (shape 0)" in last
    assert "warning: 1 of 3 classes occur in no image: 'grass'" in out


def test_all_faults_of_all_files_are_listed_and_nothing_is_written(folder, run_tool):
    bad = shape("cat", [[1, 2], ["x", 4], [5, 6]])
    for name in ("1", "2", "3"):
        write(folder, name, [bad, SKY, shape("cat", [[1, 2]], "star")], "photos/1.jpg")
    status, _, err = convert(run_tool, folder, "--things", "cat")
    assert status == 2 and err.count("fault: ") == 6
    assert "nothing was written for 6 faults, all listed above" in err.splitlines()[-1]
    assert not (folder.parent / "mine").exists()


def test_the_images_name_must_be_one_that_training_takes(folder, run_tool):
    (folder / "labels").mkdir()
    for number, name in enumerate(("../photos/1.jpg", "..\\photos\\1.jpg")):
        write(folder / "labels", f"{number}", [SKY, CAR], name)
    options = (folder / "labels", "--things", "car", "--workers", 1, "--out", folder / "mine")
    status, _, err = run_tool("datasets/from_labelme.py", *options)
    assert status == 2 and "'../photos/1.jpg', not in" in err and "add --copy-images" in err
    assert run_tool("datasets/from_labelme.py", *options, "--copy-images")[0] == 0


def test_classes_are_the_labels_of_another_folder(folder, run_tool):
    (folder.parent / "all").mkdir()
    more = [shape("dog", [[2, 2], [6, 2], [6, 6]])]
    write(folder.parent / "all", "1", [*SHAPES, *more], "../labelled/photos/1.jpg")
    options = ("--things", "cat", "dog", "--labels-from", folder.parent / "all")
    status, _, err = convert(run_tool, folder, *options)
    assert status == 0, err
    assert [c["name"] for c in truths(folder)[0]] == ["ball", "cat", "dog", "grass", "spot"]


def test_hidden_files_are_no_data_and_foreign_ones_are_named(folder, run_tool):
    (folder / ".ipynb_checkpoints").mkdir()
    write(folder / ".ipynb_checkpoints", "1-checkpoint", SHAPES, "../photos/1.jpg")
    (folder / "._1.json").write_bytes(b"\x00\x05\x16\x07 Mac OS X")
    assert convert(run_tool, folder, *THINGS)[0] == 0
    assert list(truths(folder)[1]) == [1]
    (folder / "classes.json").write_text("[]")
    status, _, err = convert(run_tool, folder, *THINGS, "--overwrite")
    assert status == 2 and "classes.json' has no 'shapes'" in err and "move it" in err


def test_spaces_around_labels_do_not_count(folder, run_tool):
    write(folder, "1", [box("cat ", 0, 0, 4, 4), box(" cat", 10, 0, 14, 4)], "photos/1.jpg")
    status, out, err = convert(run_tool, folder, "--things", "cat")
    assert status == 0 and "2 segments, 1 thing and 0 stuff" in out, err


def exif_jpeg(height, width, turn):
    """Return a JPEG whose upright size is given."""
    exif, size = Image.Exif(), (height, width) if turn in (5, 6, 7, 8) else (width, height)
    exif[274] = turn
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_an_embedded_image_is_turned_as_its_exif_says(folder, run_tool, turn):
    data = base64.b64encode(exif_jpeg(HEIGHT, WIDTH, turn)).decode()
    write(folder, "1", [box("cat", 20, 5, 28, 15)], "gone.jpg", data)
    status, _, err = convert(run_tool, folder, "--things", "cat", "--copy-images")
    assert status == 0, err
    assert areas(folder) == dict(cat=80, void=ALL - 80)
    assert truths(folder)[1][1].image["file_name"] == "1.jpg"


@pytest.mark.parametrize("path", ["1.json", "photos/notes.txt", "photos/small.jpg"])
def test_the_embedded_image_is_taken_where_the_file_is_another(folder, run_tool, path):
    (folder / "photos/notes.txt").write_text("notes")
    picture(folder / "photos/small.jpg", HEIGHT // 2, WIDTH // 2)
    data = embedded(np.full((HEIGHT, WIDTH, 3), 70, np.uint8), "PNG")
    write(folder, "1", [CAR], path, data)
    status, _, err = convert(run_tool, folder, "--things", "car", "--copy-images")
    assert status == 0, err
    assert np.asarray(Image.open(folder.parent / "mine/train/1.png")).shape == (HEIGHT, WIDTH, 3)


def test_an_image_of_another_size_than_the_labelled_one_is_refused(folder, run_tool):
    picture(folder / "photos/1.jpg", HEIGHT // 2, WIDTH // 2)
    status, _, err = convert(run_tool, folder, *THINGS)
    assert (
        status == 2 and "1.jpg' is 15x10 pixels" in err and "imageWidth" in err and "30x20" in err
    )
    (folder / "photos/1.jpg").write_bytes(exif_jpeg(WIDTH, HEIGHT, 6))
    status, _, err = convert(run_tool, folder, *THINGS)
    assert status == 2 and "EXIF" in err


def test_an_image_that_was_moved_next_to_its_file_is_found(folder, run_tool):
    (folder / "photos/1.jpg").rename(folder / "1.jpg")
    write(folder, "1", [CAR], "D:\\work\\photos\\1.jpg")
    assert convert(run_tool, folder, "--things", "car")[0] == 0
    assert truths(folder)[1][1].image["file_name"] == "1.jpg"
