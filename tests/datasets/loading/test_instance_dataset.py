"""InstanceDataset: mmdet's items, classes that are the file's, images that train."""

import json

import numpy as np
import pytest
from helpers.one_instance_image import build, check, tiny_instances
from mmdet.datasets import CocoDataset

from mmproscale.errors import InputError

NAMES = ("car", "bus")
MMDET_PIPELINE = [
    dict(type="mmproscale.LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),
]


def write(root, content: dict) -> None:
    check(root, content)


def stock(root):
    return CocoDataset(
        data_root=str(root),
        ann_file="instances.json",
        data_prefix=dict(img="."),
        metainfo=dict(classes=NAMES),
        pipeline=MMDET_PIPELINE,
    )


def test_items_and_what_is_loaded_are_mmdets(tmp_path):
    content = tiny_instances()
    content["annotations"][1]["category_id"] = 9
    content["annotations"].append(content["annotations"][0] | dict(id=8, area=0))
    content["annotations"].append(content["annotations"][0] | dict(id=9, ignore=1))
    write(tmp_path, content)
    ours, theirs = build(tmp_path), stock(tmp_path)
    item, expected = ours.get_data_info(0), theirs.get_data_info(0)
    for key in ("img_path", "img_id", "height", "width", "seg_map_path"):
        assert item[key] == expected[key]
    for instance, other in zip(item["instances"], expected["instances"], strict=True):
        assert {key: instance[key] for key in other} == other
    ours, theirs = ours[0], theirs[0]
    for key in ("gt_bboxes_labels", "gt_ignore_flags"):
        np.testing.assert_array_equal(ours[key], theirs[key])
    np.testing.assert_array_equal(ours["gt_masks"].masks, theirs["gt_masks"].masks)
    np.testing.assert_array_equal(ours["gt_bboxes"].tensor, theirs["gt_bboxes"].tensor)
    assert ours["gt_bboxes_labels"].tolist() == [0, 1, 0] and ours["gt_masks"].masks.any()


def test_classes_are_the_files(tmp_path):
    write(tmp_path, tiny_instances())
    metainfo = build(tmp_path).metainfo
    assert metainfo["classes"] == metainfo["thing_classes"] == NAMES
    assert metainfo["stuff_classes"] == () and len(set(metainfo["palette"])) == 2
    assert [category["id"] for category in metainfo["categories"]] == [3, 9]


def test_classes_of_the_config_select_in_the_files_order(tmp_path):
    content = tiny_instances()
    content["annotations"][0]["category_id"] = 9
    write(tmp_path, content)
    both = build(tmp_path, metainfo=dict(classes=("bus", "car")))
    assert both.metainfo["classes"] == NAMES and both.cat2label == {3: 0, 9: 1}
    one = build(tmp_path, metainfo=dict(classes="bus"))
    assert one.metainfo["classes"] == ("bus",)
    assert [i["bbox_label"] for i in one.get_data_info(0)["instances"]] == [0]
    with pytest.raises(InputError, match=r"\A\[classes-differ\] .*'horse'.*\Z"):
        build(tmp_path, metainfo=dict(classes=("car", "horse")))


def test_images_without_an_object_are_left_out(tmp_path):
    content = tiny_instances()
    first = content["images"][0]
    content["images"] += [first | dict(id=6), first | dict(id=7)]
    content["annotations"].append(content["annotations"][2] | dict(id=9, image_id=6))
    write(tmp_path, content)
    assert len(build(tmp_path)) == 3
    left = build(tmp_path, filter_cfg=dict(filter_empty_gt=True))
    assert [left.get_data_info(i)["img_id"] for i in range(len(left))] == [5]
    with pytest.raises(InputError, match=r"no image to train on.*min_size"):
        build(tmp_path, filter_cfg=dict(min_size=64))
    content["annotations"] = content["annotations"][2:]
    write(tmp_path, content)
    with pytest.raises(InputError, match=r"2 crowds .* and nothing else"):
        build(tmp_path)


def test_tests_need_no_annotations(tmp_path):
    content = tiny_instances()
    content["annotations"] = []
    write(tmp_path, content)
    assert len(build(tmp_path, test_mode=True)) == 1
    content.pop("annotations")
    (tmp_path / "instances.json").write_text(json.dumps(content))
    assert build(tmp_path, test_mode=True).metainfo["classes"] == NAMES


def test_what_is_not_set_or_not_there_is_named(tmp_path):
    write(tmp_path, tiny_instances())
    with pytest.raises(InputError, match=r"data_prefix\.img is not set"):
        build(tmp_path, data_prefix=dict(img=None))
    with pytest.raises(InputError, match=r"ann_file is not set: name the dataset's instance JSON"):
        build(tmp_path, ann_file="")
    with pytest.raises(InputError, match=r"nowhere.*instances\.json.*photos \(images\).*make it"):
        build(tmp_path / "nowhere", data_prefix=dict(img="photos"), hint="make it")
    (tmp_path / "instances.json").unlink()
    with pytest.raises(InputError, match=r"instances\.json.*panoptic-to-instances makes it"):
        build(tmp_path)
