"""Reports: every fault is counted, the first of each kind are shown."""

import json

from mmproscale.datasets.checks.dataset_report import DatasetReport, count_content
from mmproscale.utils.faults import Fault

NOTE = Fault("image-turned", "0.jpg", "", "is turned", "store it upright", note=True)
IMAGES = [dict(id=i, width=6, height=4 + (i > 1)) for i in range(3)]
CATEGORIES = [dict(id=3, name="cow", isthing=1), dict(id=7, name="grass", isthing=0)]


def fault(number: int) -> Fault:
    return Fault("box-type", "a.json", f"annotations[{number}].bbox", "is 7", "give a box")


def test_faults_are_counted_and_the_first_are_kept():
    report = DatasetReport("a.json (train)", limit=2)
    assert report.clean and report.lines() == ["a.json (train): clean"]
    report.add([NOTE])
    assert report.clean
    report.add(fault(number) for number in range(5))
    assert not report.clean and report.faults["box-type"].count == 5
    assert report.lines() == [
        "a.json (train): 5 faults, 1 notes",
        "  fault box-type: 5",
        "    'a.json': annotations[0].bbox is 7: give a box",
        "    'a.json': annotations[1].bbox is 7: give a box",
        "    ... and 3 more",
        "  note image-turned: 1",
        "    '0.jpg' is turned: store it upright",
    ]


def test_report_as_json():
    report = DatasetReport("a.json", limit=1)
    report.add([fault(0), fault(1), NOTE])
    report.counts["images"] = 3
    content = json.loads(json.dumps(report.as_json()))
    assert content["name"] == "a.json" and not content["clean"]
    assert content["counts"] == dict(images=3)
    found = content["faults"]["box-type"]
    assert found["count"] == 2 and [f["field"] for f in found["first"]] == ["annotations[0].bbox"]
    assert found["first"][0]["message"] == str(fault(0)) and "image-turned" in content["notes"]


def test_counts_are_written_as_text():
    report = DatasetReport("a.json")
    report.counts = dict(image_sizes={"6x4": 2}, never=[], classes=["a", "b"], void_share=0.125)
    texts = ["image sizes: 6x4 2", "never: none", "classes: a, b", "void share: 12.50%"]
    assert report.lines()[1:] == [f"  {text}" for text in texts]


def test_content_of_a_panoptic_file():
    segments = [[dict(category_id=3), dict(category_id=3, iscrowd=1)], [dict(category_id="3"), 7]]
    annotations = [dict(image_id=i, segments_info=s) for i, s in enumerate([*segments, None])]
    content = dict(images=IMAGES, annotations=annotations, categories=CATEGORIES)
    assert count_content(content, panoptic=True) == dict(
        images=3,
        annotated_images=3,
        segments=3,
        crowd_segments=1,
        image_sizes={"distinct": 2, "6x4": 2, "6x5": 1},
        segments_by_class=dict(cow=1, grass=0),
        crowd_segments_by_class=dict(cow=1),
        classes_that_never_occur=["grass"],
        images_without_things=1,
    )


def test_content_of_an_instance_file():
    annotations = [dict(image_id=0, category_id=7), dict(image_id=0, category_id=3, iscrowd=1)]
    content = dict(images=IMAGES, annotations=annotations, categories=CATEGORIES)
    counts = count_content(content, panoptic=False)
    assert counts["instances"] == 2 and counts["annotated_images"] == 1
    assert counts["instances_by_class"] == dict(cow=0, grass=1)
    assert counts["crowd_instances_by_class"] == dict(cow=1)
    assert counts["crowd_instances"] == 1 and "images_without_things" not in counts
