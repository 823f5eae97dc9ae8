"""CVAT's XML becomes COCO instances or boxes: each shape, groups, subsets, and every fault."""

import json

import numpy as np
import pytest
from helpers.panoptic_files import picture
from pycocotools import mask as rle_tools

from mmproscale.datasets.conversion.cvat import read_cvat

HEIGHT, WIDTH = 40, 60
LABELS = (
    "<label><name>dog</name><type>any</type></label>"
    "<label><name>car</name><type>polygon</type></label>"
    "<label><name>way</name><type>polyline</type></label>"
    "<label><name>s</name><type>skeleton</type></label>"
    "<label><name>1</name><type>points</type><parent>s</parent></label>"
)
BOX = '<box label="dog" source="manual" occluded="0" xtl="4.5" ytl="2" xbr="20" ybr="12"/>'
POLYGON = '<polygon label="car" points="2.00,2.00;10.00,2.00;10.00,8.00;2.00,8.00" z_order="1"/>'
LINE = '<polyline label="way" points="1,1;5,5"/><tag label="good" source="manual"/>'


@pytest.fixture
def write(tmp_path):
    """Function that writes images and annotations.xml, given the shapes of each image."""

    def run(*shapes: str, labels: str = LABELS, subsets=(), size=(WIDTH, HEIGHT)):
        images = ""
        for number, text in enumerate(shapes):
            subset = subsets[number] if subsets else ""
            picture(tmp_path / "data/images" / subset / f"{number}.jpg", HEIGHT, WIDTH)
            named = f'subset="{subset}"' * bool(subset)
            sides = f'width="{size[0]}" height="{size[1]}"'
            images += f'<image id="{number}" name="{number}.jpg" {named} {sides}>{text}</image>'
        meta = f"<meta><task><labels>{labels}</labels></task></meta>"
        path = tmp_path / "data/annotations.xml"
        text = f"<annotations><version>1.1</version>{meta}{images}</annotations>"
        path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{text}')
        return path

    return run


@pytest.fixture
def convert(run_tool, tmp_path):
    """Function that converts an XML: (status, output, error, content of the JSON)."""

    def run(path, *options, split="train"):
        answer = run_tool(
            *("datasets/from_cvat.py", path, "--out", tmp_path / "mine", "--workers", 1),
            *("--split", split, *options),
        )
        made = tmp_path / f"mine/annotations/instances_{split}.json"
        return *answer, json.loads(made.read_text()) if made.is_file() else None

    return run


def pixels(annotation) -> np.ndarray:
    outline = annotation["segmentation"]
    if isinstance(outline, list):
        outline = rle_tools.merge(rle_tools.frPyObjects(outline, HEIGHT, WIDTH))
    return rle_tools.decode(outline)


def test_polygons_masks_ellipses_and_boxes_between_them(write, convert):
    mask = '<mask label="dog" rle="2, 3, 1" left="5" top="7" width="3" height="2" z_order="0"/>'
    ellipse = '<ellipse label="car" cx="30" cy="20" rx="10" ry="5" rotation="90"/>'
    status, out, error, made = convert(write(POLYGON + mask + BOX + ellipse + LINE))
    assert status == 0, error
    assert [c["name"] for c in made["categories"]] == ["dog", "car"]
    assert "4 shapes drawn, 1 left no pixel (1 points and lines" in out
    assert "1 box between outlines drawn as rectangles" in out
    polygon, dots, box, turned = made["annotations"]
    assert polygon["segmentation"] == [[2, 2, 10, 2, 10, 8, 2, 8]] and polygon["category_id"] == 2
    assert pixels(dots)[7:9, 5:8].tolist() == [[0, 0, 1], [1, 1, 0]] and dots["area"] == 3
    assert box["segmentation"] == [[4.5, 2, 20, 2, 20, 12, 4.5, 12]] and box["category_id"] == 1
    assert turned["bbox"] == pytest.approx([25, 10, 10, 20], abs=1)
    assert turned["area"] == pytest.approx(np.pi * 50, rel=0.1)


def test_boxes_only_have_no_mask_and_turned_ones_are_bounded(write, convert):
    turned = BOX.replace('<box label="dog"', '<box label="dog" rotation="30"')
    status, out, error, made = convert(write(BOX + LINE, turned))
    assert status == 0 and "2 images, 2 boxes" in out, error
    straight, bounding = made["annotations"]
    assert straight["bbox"] == [4.5, 2, 15.5, 10] and "segmentation" not in straight
    # The sides are w cos 30 + h sin 30 and w sin 30 + h cos 30, around the same centre.
    width, height = 15.5 * 0.866 + 10 * 0.5, 15.5 * 0.5 + 10 * 0.866
    corner = [12.25 - width / 2, max(0, 7 - height / 2)]
    assert bounding["bbox"][:3] == pytest.approx([*corner, width], abs=0.02)


def test_a_group_is_one_object(write, convert):
    part = '<polygon label="{}" group_id="{}" points="{},2;{},2;{},8"/>'
    shapes = "".join(
        part.format(label, group, left, left + 6, left + 6)
        for label, group, left in (("car", 1, 2), ("car", 1, 20), ("dog", 1, 30), ("car", 0, 40))
    )
    mask = '<mask label="dog" group_id="1" rle="0,4" left="50" top="30" width="2" height="2"/>'
    made = convert(write(shapes + mask))[3]["annotations"]
    assert [len(entry["segmentation"]) for entry in made] == [2, 2, 1]
    car, dog, _ = made
    assert len(car["segmentation"]) == 2 and isinstance(dog["segmentation"], dict)
    assert dog["area"] > 4 and pixels(dog)[30:32, 50:52].all()


def test_subsets_become_splits_and_images_lie_in_their_folders(write, convert, tmp_path):
    path = write(POLYGON, POLYGON + BOX, subsets=("Train", "Validation"))
    assert read_cvat(path).subsets == ["Train", "Validation"]
    status, _, error, made = convert(path, "--subset", "Validation", "--copy-images", split="val")
    assert status == 0 and [image["file_name"] for image in made["images"]] == ["1.jpg"], error
    assert (tmp_path / "mine/val/1.jpg").is_file()
    assert "has only 'Train', 'Validation'" in convert(path, "--subset", "x")[2]


def test_stuff_is_marked_for_panoptic_data(write, convert, run_tool, tmp_path):
    status, _, error, _ = convert(write(POLYGON + BOX), "--stuff", "dog", "--copy-images")
    assert status == 0, error
    mine = tmp_path / "mine"
    options = (mine / "annotations/instances_train.json", mine / "train", "--out", mine)
    status, out, error = run_tool("datasets/from_polygons.py", *options, "--workers", 1)
    assert status == 0 and "2 segments, 1 thing and 1 stuff class" in out, error
    assert "--stuff cow: " in convert(write(POLYGON), "--stuff", "cow", "--overwrite")[2]


def test_classes_are_the_used_labels_if_none_are_listed(write, convert):
    made = convert(write(POLYGON + BOX, labels=""))[3]
    assert [c["name"] for c in made["categories"]] == ["car", "dog"]


def test_a_stated_folder_of_images(write, convert, tmp_path):
    path = write(POLYGON)
    (tmp_path / "data/images").rename(tmp_path / "photos")
    assert "image '" in convert(path)[2] and "name its folder (--images)" in convert(path)[2]
    assert convert(path, "--images", tmp_path / "photos")[0] == 0


@pytest.mark.parametrize(
    ("shapes", "fault"),
    [
        (POLYGON.replace("car", "cow"), "does not list: 'cow'"),
        (POLYGON.replace("2.00,2.00;", "x,2;"), "polygon 'car' (shape 1): points is 'x,2;10.00"),
        ('<polygon label="car" points="1,1;2,2"/>', "of three points or more"),
        (BOX.replace('xtl="4.5"', ""), "xtl is '', not numbers of pixels"),
        (BOX.replace("4.5", "nan"), "xtl is 'nan', not numbers"),
        ('<mask label="dog" left="1" top="1" width="2" height="2"/>', "rle is None, not whole"),
        (
            '<mask label="dog" rle="0,5" left="1" top="1" width="2" height="2"/>',
            "runs of 5 pixels do not fit a box of 2x2 at 1, 1 in an image of 60x40",
        ),
        (
            '<mask label="dog" rle="0,4" left="59" top="1" width="2" height="2"/>',
            "do not fit a box of 2x2 at 59, 1",
        ),
    ],
)
def test_faults_of_shapes_name_image_and_shape(write, convert, shapes, fault):
    status, _, error, made = convert(write(POLYGON + shapes))
    assert status == 2 and made is None
    line = error.strip().splitlines()[-1]
    assert fault in line and "annotations.xml'" in line


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("<annotations><image", "is not valid XML"),
        ("<annotation><filename>a.jpg</filename></annotation>", "has no images of CVAT"),
        ("<annotations><version>1.1</version></annotations>", "has no images of CVAT"),
        ('<annotations><track id="0" label="car"/></annotations>', "export 'CVAT for images 1.1'"),
        ('<annotations><image name="a" width="4"/></annotations>', "lacks width or height"),
    ],
)
def test_files_that_are_not_cvats(tmp_path, convert, text, fault):
    (tmp_path / "annotations.xml").write_text(text)
    assert fault in convert(tmp_path / "annotations.xml")[2]


def test_an_image_of_another_size_is_a_fault(write, convert):
    status, _, error, _ = convert(write(POLYGON, size=(WIDTH, HEIGHT + 1)))
    assert status == 2 and "[image-size]" in error and "0.jpg" in error
