"""Slips of labelling tools that readers accept: dataset, metric, converter and check agree."""

import pytest
from helpers.malformations import drop, put
from helpers.one_instance_image import BOX, HEIGHT, WIDTH, build, check, tiny_instances

from mmproscale.datasets.checks.instance_faults import instance_faults
from mmproscale.datasets.checks.lenient_instances import numbered, read_leniently

X, Y, W, H = BOX
SQUARE = [X, Y, X + W, Y, X + W, Y + H, X, Y + H]


def first_after(change):
    content = tiny_instances()
    change(content)
    before = repr(content)
    read, notes = read_leniently(content, "a.json")
    assert repr(content) == before, "the content stays as it is"
    return read["annotations"][0], [note.kind for note in notes]


@pytest.mark.parametrize(
    ("key", "value", "expected", "kinds"),
    [
        ("segmentation", SQUARE, [SQUARE], ["polygon-flat"]),
        ("segmentation", [SQUARE, [9, 9], [5, 5, 6, 6]], [SQUARE], ["polygon-sliver"]),
        ("segmentation", [[9, 9], SQUARE], [SQUARE], ["polygon-sliver"]),
        ("segmentation", [[9, 9, 10, 10]], [[9, 9, 10, 10]], []),
        ("iscrowd", None, 0, []),
        ("iscrowd", True, 1, []),
        ("iscrowd", 2, 2, []),
        ("bbox", [-3, 10, 43, 20], [0, 10, 40, 20], ["box-clipped"]),
        ("bbox", [WIDTH - 10, 5, 15, 9], [WIDTH - 10, 5, 10, 9], ["box-clipped"]),
        ("bbox", [-1, -1, 20, 20], [-1, -1, 20, 20], []),
        ("bbox", [-30, 10, 43, 20], [-30, 10, 43, 20], []),
        ("bbox", [0, 0, float("nan"), 9], None, []),
        ("area", 5, 5, []),
    ],
)
def test_one_slip_is_read_as_the_tool_meant_it(key, value, expected, kinds):
    annotation, found = first_after(put("annotations", 0, key, value))
    assert found == kinds
    if expected is not None:
        assert annotation[key] == expected and type(annotation[key]) is type(expected)


@pytest.mark.parametrize("key", ["bbox", "area", "iscrowd", "id"])
def test_keys_that_coco_makes_optional_are_computed(tmp_path, key):
    annotation, kinds = first_after(drop("annotations", 0, key))
    assert not kinds
    assert annotation.get(key) == dict(bbox=BOX, area=W * H, iscrowd=0).get(key)
    content = tiny_instances()
    del content["annotations"][0][key]
    assert check(tmp_path, content).clean
    assert [i["place"] for i in build(tmp_path).get_data_info(0)["instances"]] == [0, 1, 2]


@pytest.mark.parametrize("empty", [None, [], {}])
def test_an_object_without_a_mask_has_the_area_of_its_box(empty):
    content = tiny_instances()
    for annotation in content["annotations"]:
        annotation |= dict(segmentation=empty)
        del annotation["area"]
    read, _ = read_leniently(content, "a.json")
    assert {a["area"] for a in read["annotations"]} == {W * H}
    assert not any("segmentation" in a for a in read["annotations"])
    kinds = {fault.kind: fault.note for fault in instance_faults(read, "a.json")}
    assert kinds == {"mask-missing": True}
    kinds = {fault.kind: fault.note for fault in instance_faults(read, "a.json", need_masks=True)}
    assert kinds == {"mask-missing": False}


def test_boxes_without_masks_train_a_detector_and_no_segmentor(tmp_path):
    content = tiny_instances()
    for annotation in content["annotations"]:
        annotation["segmentation"] = []
    report = check(tmp_path, content)
    assert report.clean and report.notes["mask-missing"].count == 3
    load = [dict(type="mmproscale.LoadImage"), dict(type="mmdet.LoadAnnotations", with_bbox=True)]
    assert len(build(tmp_path, pipeline=load)[0]["gt_bboxes"]) == 3
    with pytest.raises(ValueError, match=r"mask-missing.*2 more of this kind"):
        build(tmp_path)


def test_an_id_0_is_noted_and_ids_are_numbered_again(tmp_path):
    content = tiny_instances()
    content["annotations"][0]["id"] = 0
    report = check(tmp_path, content)
    assert report.clean and list(report.notes) == ["annotation-id-zero"]
    assert [a["id"] for a in numbered(content["annotations"])] == [1, 2, 3]


def test_boxes_of_images_without_a_size_stay(tmp_path):
    content = tiny_instances()
    content["images"][0] |= dict(height="40", width=None)
    content["annotations"][0] |= dict(bbox=[-9, 0, 20, 20])
    read, notes = read_leniently(content, "a.json")
    assert read["annotations"] == content["annotations"] and not notes
    assert HEIGHT == 40
