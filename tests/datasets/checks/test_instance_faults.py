"""COCO instances: what is wrong with masks, boxes, areas and ids, one broken thing at a time."""

import numpy as np
import pytest
from helpers.malformations import drop, put
from helpers.one_instance_image import BOX, HEIGHT, WIDTH, build, check, tiny_instances
from pycocotools import mask as mask_utils

from mmproscale.errors import InputError


def annotation(*keys_and_value):
    return put("annotations", *keys_and_value)


def _other_width(content: dict) -> None:
    content["images"][0]["width"] = WIDTH + 9
    del content["annotations"][1:]  # RLE masks would have another size too


MASK = "segmentation"
# Of pixels: these show where the image, or the mask, is at hand.
BY_PIXELS = {"image-size", "instance-box"}
BROKEN = [
    ("no-instance", put("annotations", [])),
    ("path-leaves-folder", put("images", 0, "file_name", "../a.jpg")),
    ("image-missing", put("images", 0, "file_name", "b.jpg")),
    ("annotation-key-missing", drop("annotations", 0, "image_id")),
    ("annotation-key-missing", drop("annotations", 0, "category_id")),
    ("mask-missing", drop("annotations", 0, "segmentation")),
    ("mask-missing", annotation(0, "segmentation", [])),
    ("mask-missing", annotation(2, "segmentation", None)),
    ("area-value", annotation(0, "area", float("nan"))),
    ("not-coco", drop("images")),
    ("panoptic-not-instances", annotation(0, "segments_info", [])),
    ("annotation-id-twice", annotation(1, "id", 1)),
    ("annotation-without-image", annotation(0, "image_id", 6)),
    ("image-id-other-type", annotation(0, "image_id", "5")),
    ("image-size", _other_width),
    ("category-unknown", annotation(0, "category_id", 4)),
    ("category-id-type", annotation(0, "category_id", True)),
    ("category-id-twice", put("categories", 1, "id", 3)),
    ("iscrowd-value", annotation(0, "iscrowd", "no")),
    ("box-not-finite", annotation(0, "bbox", [0, 0, float("nan"), 4])),
    ("box-inverted", annotation(0, "bbox", [28, 30, -20, -24])),
    ("box-outside", annotation(0, "bbox", [WIDTH - 2, 6, 20, 24])),
    ("instance-box", annotation(0, "bbox", [40, 20, 18, 18])),
    ("area-value", annotation(0, "area", float("inf"))),
    ("polygon-short", annotation(0, MASK, [[8, 6, 28, 30]])),
    ("polygon-odd", annotation(0, MASK, [[8, 6, 28, 6, 28, 30, 8]])),
    ("polygon-type", annotation(0, MASK, [[8, 6, "28", 6, 28, 30]])),
    ("polygon-not-finite", annotation(0, MASK, [[8, 6, float("nan"), 6, 28, 30]])),
    ("polygon-not-finite", annotation(0, MASK, [[8, 6, 10**400, 6, 28, 30]])),
    ("polygon-outside", annotation(0, MASK, [[8, 6, -1e300, 6, 28, 30]])),
    ("mask-type", annotation(0, MASK, "8 6 28 6 28 30")),
    ("mask-type", annotation(1, MASK, dict(size=[HEIGHT, WIDTH]))),
    ("rle-size", annotation(1, MASK, "size", [WIDTH, HEIGHT])),
    ("rle-counts", annotation(1, MASK, "counts", "P1")),
    ("rle-counts", annotation(1, MASK, "counts", "")),
    ("rle-counts", annotation(1, MASK, "counts", 7)),
    ("rle-counts", annotation(2, MASK, "counts", [1, 2, 3])),
    ("rle-counts", annotation(2, MASK, "counts", [-1, HEIGHT * WIDTH + 1])),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "change"), BROKEN, ids=[f"{i}-{kind}" for i, (kind, _) in enumerate(BROKEN)]
)
def test_one_broken_thing_is_found_by_its_name(tmp_path, kind, change):
    content = tiny_instances()
    change(content)
    report = check(tmp_path, content)
    faults = {name: found.count for name, found in report.faults.items()}
    assert faults == {kind: 1}
    with pytest.raises(InputError, match=r"\A.*\Z") as caught:
        dataset = build(tmp_path)
        assert kind in BY_PIXELS
        dataset[0]
    message = str(caught.value)
    file = {"image-size": "a.jpg", "image-missing": "b.jpg"}.get(kind, "instances.json")
    assert f"[{kind}] " in message and file in message


def test_valid_instances_are_clean_and_counted(tmp_path):
    report = check(tmp_path, tiny_instances())
    assert report.clean and not report.notes, report.lines()
    assert report.counts["instances"] == 3 and report.counts["crowd_instances"] == 1
    assert report.counts["instances_by_class"] == dict(car=2, bus=0)
    assert report.counts["classes_that_never_occur"] == ["bus"]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("box-empty", annotation(0, "bbox", [8, 6, 20, 0])),
        ("area-empty", annotation(0, "area", 0)),
    ],
)
def test_what_mmdet_leaves_out_is_a_note(tmp_path, kind, change):
    content = tiny_instances()
    change(content)
    report = check(tmp_path, content)
    assert kind in report.notes and kind not in report.faults
    assert [i["place"] for i in build(tmp_path).get_data_info(0)["instances"]] == [1, 2]


def test_compressed_rle_of_any_mask_is_sound(tmp_path):
    """pycocotools writes runs as differences, also negative ones and of several characters."""
    generator = np.random.default_rng(0)
    content = tiny_instances()
    first = content["annotations"][1]
    content["annotations"] = []
    for number, share in enumerate((0.0, 0.02, 0.3, 0.5, 0.97, 1.0)):
        mask = np.asfortranarray(generator.random((HEIGHT, WIDTH)) < share, np.uint8)
        rle = mask_utils.encode(mask)
        whole = dict(size=[HEIGHT, WIDTH], counts=rle["counts"].decode())
        box = mask_utils.toBbox(rle).tolist() if share else BOX
        area = int(mask.sum())
        content["annotations"].append(
            first | dict(id=number, segmentation=whole, area=area, bbox=box)
        )
    assert check(tmp_path, content).clean


def test_the_box_of_an_outline_may_hold_parts_without_a_pixel(tmp_path):
    content = tiny_instances()
    outline = [[8, 6, 20, 6, 20, 16, 8, 16], [8, 6, 48, 6, 48, 6.2]]
    content["annotations"][0] |= dict(segmentation=outline, bbox=[8, 6, 40, 10], area=120)
    report = check(tmp_path, content)
    assert report.clean, report.lines()
    content["annotations"][0]["bbox"] = [8, 6, 40, 40]
    assert check(tmp_path, content).faults.keys() == {"instance-box"}
