"""Panoptic files become instances: things with their masks, boxes and areas."""

import json

import numpy as np
import pytest
from helpers.panoptic_files import picture, save
from pycocotools import mask as mask_utils

from mmproscale.datasets.conversion.panoptic_to_instances import (
    convert_to_instances,
    instances_path,
)
from mmproscale.errors import InputError

CATEGORIES = [dict(id=7, name="grass", isthing=0), dict(id=3, name="cow", isthing=1)]
CATEGORIES.append(dict(id=9, name="sky", isthing=0))
# (id, category, crowd), a column of four pixels each; category 3, a cow, is the only thing.
SEGMENTS = [[(1, 7, 0), (70000, 3, 0), (5, 3, 1)], [(5, 9, 0)], [(2, 3, 0)]]


@pytest.fixture
def panoptic(tmp_path):
    images, annotations = [], []
    for number, segments in enumerate(SEGMENTS):
        ids, infos = np.zeros((4, 6), np.int64), []
        for column, (segment_id, category_id, crowd) in enumerate(segments):
            ids[:, column] = segment_id
            info = dict(id=segment_id, category_id=category_id, iscrowd=crowd)
            infos.append(info | dict(area=4, bbox=[column, 0, 1, 4]))
        save(tmp_path / f"pngs/{number}.png", np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1))
        picture(tmp_path / f"images/{number}.jpg", 4, 6)
        images.append(dict(id=number, file_name=f"{number}.jpg", height=4, width=6))
        annotations.append(dict(image_id=number, file_name=f"{number}.png", segments_info=infos))
    path = tmp_path / "panoptic.json"
    content = dict(images=images, annotations=annotations, categories=CATEGORIES)
    path.write_text(json.dumps(content))
    return path


def test_things_keep_ids_crowds_and_pixels(panoptic, tmp_path):
    seen = []
    summary = convert_to_instances(
        panoptic, tmp_path / "pngs", tmp_path / "out.json", lambda *done: seen.append(done)
    )
    content = json.loads((tmp_path / "out.json").read_text())
    assert summary.lines()[-1] == "3 shapes drawn, none left no pixel"
    assert seen[-1] == ("out", 3, 3)
    assert content["categories"] == [c for c in CATEGORIES if c["isthing"]]
    assert [image["id"] for image in content["images"]] == [0, 1, 2]
    found = [(a["id"], a["image_id"], a["iscrowd"], a["bbox"]) for a in content["annotations"]]
    assert found == [(1, 0, 0, [1, 0, 1, 4]), (2, 0, 1, [2, 0, 1, 4]), (3, 2, 0, [0, 0, 1, 4])]
    mask = mask_utils.decode(content["annotations"][1]["segmentation"])
    expected = np.zeros((4, 6), np.uint8)
    expected[:, 2] = 1
    assert np.array_equal(mask, expected) and content["annotations"][1]["area"] == 4


def test_our_dataset_reads_what_was_written(panoptic, tmp_path):
    from mmproscale.registry import DATASETS

    convert_to_instances(panoptic, tmp_path / "pngs", tmp_path / "out.json")
    config = dict(
        type="mmproscale.InstanceDataset",
        data_root=str(tmp_path),
        ann_file="out.json",
        data_prefix=dict(img="images/"),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=[],
    )
    dataset = DATASETS.build(config)
    assert dataset.metainfo["classes"] == ("cow",) and len(dataset) == 2
    assert dataset.get_data_info(0)["instances"][0]["bbox"] == [1, 0, 2, 4]


def test_bad_files_are_one_line(panoptic, tmp_path):
    (tmp_path / "pngs/0.png").unlink()
    with pytest.raises(InputError, match=r"0\.png"):
        convert_to_instances(panoptic, tmp_path / "pngs", tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
    with pytest.raises(InputError, match="add --out"):
        instances_path("labels.json")
    assert instances_path("a/panoptic_val.json").name == "instances_val.json"


def test_the_tool_writes_next_to_the_json_and_replaces_nothing(run_tool, panoptic, tmp_path):
    arguments = (panoptic, "--seg", tmp_path / "pngs")
    status, out, error = run_tool("datasets/panoptic_to_instances.py", *arguments)
    assert status == 0, error
    assert (
        "3 images, 3 instances, 1 thing and 0 stuff" in out
        and (tmp_path / "instances.json").is_file()
    )
    status, _, error = run_tool("datasets/panoptic_to_instances.py", *arguments)
    assert status == 2 and "--overwrite" in error
