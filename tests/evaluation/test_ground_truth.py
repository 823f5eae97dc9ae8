"""Ground truth with a fault that affects figures is refused by name, before anything is scored."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.tiny_universal import (
    CROWD_ID,
    SIZE,
    THINGS,
    predicted,
    small_mask,
    text_rle,
    write_universal,
)

from mmproscale.datasets.formats.panoptic_png import encode_png, read_png
from mmproscale.errors import InputError
from mmproscale.evaluation import UniversalSegMetric
from mmproscale.evaluation.ground_truth import InstanceGroundTruth, PanopticGroundTruth


@pytest.fixture
def ann_file(tmp_path) -> Path:
    return write_universal(tmp_path, 2)


def edit(ann_file: Path, change) -> None:
    content = json.loads(ann_file.read_text())
    change(content)
    ann_file.write_text(json.dumps(content))


def annotation(content, number=1):
    return content["annotations"][number]


def segment(content, place=0):
    return annotation(content)["segments_info"][place]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: segment(c).update(area=float("nan")), r"area-value.*\[0\].area is nan"),
        (lambda c: segment(c).update(area="5"), r"area-value.*\[0\].area is '5'"),
        (lambda c: segment(c).update(area=-5), r"area-empty.*\[0\].area is -5"),
        (lambda c: segment(c).update(area=5.5), r"area-value.*\[0\].area is 5.5, not a whole"),
        (lambda c: segment(c).update(category_id=[5]), "category-id-type"),
        (lambda c: segment(c).update(id=0), "segment-id-range"),
        (
            lambda c: annotation(c)["segments_info"].append({**segment(c), "category_id": 70}),
            "segment-id-twice",
        ),
        (lambda c: annotation(c).update(segments_info=None), "segments-type"),
        (lambda c: annotation(c).update(file_name="../val/1.png"), "path-leaves-folder"),
        (lambda c: annotation(c).update(file_name="/etc/hosts"), "path-absolute"),
        (lambda c: c["annotations"].append(None), r"annotations\[2\] is None, not an object"),
        (lambda c: c["images"][1].pop("file_name"), r"images\[1\].file_name is missing"),
    ],
)
def test_faults_of_the_json(ann_file, change, says):
    edit(ann_file, change)
    with pytest.raises(InputError, match=says):
        PanopticGroundTruth(ann_file)


def test_what_no_figure_reads_may_be_missing(ann_file):
    def without_boxes_and_sizes(content):
        for image in content["images"]:
            del image["height"], image["width"]
        for entry in content["annotations"]:
            entry["file_name"] = None
            for info in entry["segments_info"]:
                del info["bbox"]

    edit(ann_file, without_boxes_and_sizes)
    truth = PanopticGroundTruth(ann_file)
    assert truth.shape_of(1) == SIZE
    truth.check_png(1)
    id_map, segments = truth.read(1, SIZE)
    assert id_map.shape == SIZE and set(segments.ids) == set(np.unique(id_map)) - {0}


def bgr_for_rgb(png, ids):
    cv2.imwrite(str(png), cv2.imread(str(png))[..., ::-1])


def greyscale(png, ids):
    cv2.imwrite(str(png), (ids % 256).astype(np.uint8))


def alpha(png, ids):
    cv2.imwrite(str(png), cv2.cvtColor(cv2.imread(str(png)), cv2.COLOR_BGR2BGRA))


def sixteen_bits(png, ids):
    cv2.imwrite(str(png), cv2.imread(str(png)).astype(np.uint16) * 256)


def cut_short(png, ids):
    png.write_bytes(png.read_bytes()[:-40])


def no_file(png, ids):
    png.unlink()


def half_the_size(png, ids):
    png.write_bytes(encode_png(ids[::2]))


def a_segment_more(png, ids):
    ids[:2, :2] = 4242
    png.write_bytes(encode_png(ids))


def a_segment_less(png, ids):
    ids[ids == ids.max()] = 0
    png.write_bytes(encode_png(ids))


def a_pixel_less(png, ids):
    rows, columns = np.nonzero(ids == ids.max())
    ids[rows[0], columns[0]] = 0
    png.write_bytes(encode_png(ids))


FAULTS = [
    (bgr_for_rgb, "segment-not-in-json|png-ids-damaged"),
    (greyscale, "png-greyscale"),
    (alpha, "png-alpha"),
    (sixteen_bits, "png-16-bit"),
    (cut_short, "png-unreadable"),
    (no_file, "png-missing"),
    (half_the_size, "is 12x32 but the prediction is 24x32|is 32x12 pixels but .* is 32x24"),
    (a_segment_more, "segment-not-in-json.*segment 4242"),
    (a_segment_less, "segment-not-in-png"),
    (a_pixel_less, "segment-area"),
]


@pytest.mark.parametrize(("spoil", "says"), FAULTS)
@pytest.mark.parametrize("crowd", [False, True], ids=["", "crowd"])
def test_a_png_that_contradicts_the_json(ann_file, spoil, says, crowd):
    """The metric and the faster check of files both name the fault."""
    number = 0 if crowd else 1  # the first image has a crowd
    png = ann_file.parent / "val" / f"{number}.png"
    ids = read_png(png)
    assert crowd == (ids.max() == CROWD_ID)
    spoil(png, ids)
    truth = PanopticGroundTruth(ann_file)
    truth.check_png(1 - number)
    with pytest.raises(InputError, match=says):
        truth.check_png(number)
    metric = UniversalSegMetric(ann_file)
    with pytest.raises(InputError, match=says):
        metric.process(None, [predicted(number)])


@pytest.fixture
def content() -> dict:
    entry = dict(image_id=0, category_id=5, iscrowd=0, area=24, bbox=[3, 2, 6, 4])
    polygon = [[3, 2, 9, 2, 9, 6, 3, 6]]
    masks = [text_rle(small_mask()), polygon]
    return {
        "images": [{"id": n} for n in range(2)],
        "annotations": [{**entry, "id": n, "segmentation": m} for n, m in enumerate(masks)],
        "categories": THINGS,
    }


@pytest.fixture
def read_instances(tmp_path):
    truth = PanopticGroundTruth(write_universal(tmp_path, 2))

    def from_file(content):
        path: Path = tmp_path / "instances.json"
        path.write_text(json.dumps(content))
        return InstanceGroundTruth(path, truth)

    return from_file


def test_instances_by_image(read_instances, content):
    content["categories"] = [*THINGS, {"id": 9, "name": "road"}]
    content["annotations"].append({**content["annotations"][0], "id": 9, "category_id": 9})
    for annotation in content["annotations"]:
        annotation["bbox"] = None  # AP of masks reads no box
    instances = read_instances(content)
    assert [a["id"] for a in instances.of_image(0)] == [0, 1] and instances.of_image(1) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a.pop("segmentation"), "mask-missing"),
        (lambda a: a.update(segmentation=[]), "mask-missing"),
        (lambda a: a.update(segmentation=text_rle(small_mask(*SIZE[::-1]))), "rle-size"),
        (lambda a: a["segmentation"].update(counts="~~~~"), "rle-counts"),
        (
            lambda a: a["segmentation"].update(counts=text_rle(small_mask())["counts"][:-1]),
            "rle-counts",
        ),
        (lambda a: a.update(segmentation=[[1, 2, float("nan"), 4, 5, 6]]), "polygon-not-finite"),
        (lambda a: a.update(area=float("nan")), "area-value"),
        (lambda a: a.update(image_id=3), "annotation-without-image"),
        (lambda a: a.update(category_id=6), "category-unknown"),
        (lambda a: a.update(iscrowd=2), "iscrowd-value"),
    ],
)
def test_faults_of_instances(read_instances, content, change, says):
    change(content["annotations"][0])
    with pytest.raises(InputError, match=rf"\[{says}\] .*instances.json': annotations\[0\]"):
        read_instances(content)
