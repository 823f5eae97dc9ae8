"""PanopticDataset: labels, names and pixels on CamVid, COCO and Shapes; which images stay."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.tiny_panoptic import build, write_json, write_tiny
from mmdet.datasets import CocoPanopticDataset
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes
from mmproscale.datasets.shapes.scene import STUFF, THINGS
from mmproscale.errors import InputError
from mmproscale.registry import DATASETS

REPO = Path(__file__).resolve().parents[3]
SHARED = REPO.parent / "shared"
CAMVID = SHARED / "data" / "camvid"
COCO_SAMPLE = SHARED / "data" / "coco_panoptic_sample"
needs_camvid = pytest.mark.skipif(not CAMVID.is_dir(), reason=f"needs {CAMVID}")
needs_coco = pytest.mark.skipif(not COCO_SAMPLE.is_dir(), reason=f"needs {COCO_SAMPLE}")


@pytest.fixture(scope="module")
def shapes_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(root, ShapesSpec(train=40, val=8))
    return root


@pytest.fixture
def mmdet_scope():
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def build_from_config(name: str, loader: str, root: Path):
    config = Config.fromfile(REPO / "configs" / "_base_" / "datasets" / f"{name}_panoptic.py")
    dataset = config[loader].dataset
    dataset.data_root = f"{root}/"
    return DATASETS.build(dataset)


def read_ids(png: Path) -> np.ndarray:
    b, g, r = np.moveaxis(cv2.imread(str(png)).astype(np.int64), -1, 0)
    return r + 256 * g + 65536 * b


def check_pixels(dataset, ann_file: Path, png_folder: Path, limit: int) -> None:
    """Compare loaded items with the PNG and JSON read here: class name by class name."""
    content = json.loads(ann_file.read_text())
    name_of = {c["id"]: c["name"] for c in content["categories"]}
    thing_names = {c["name"] for c in content["categories"] if c["isthing"]}
    annotation_of = {a["image_id"]: a for a in content["annotations"]}
    classes = dataset.metainfo["classes"]
    for index in range(min(limit, len(dataset))):
        item = dataset[index]
        annotation = annotation_of[item["img_id"]]
        ids = read_ids(png_folder / annotation["file_name"])
        wanted_names = np.full(ids.shape, "", object)
        wanted_things = []
        for segment in annotation["segments_info"]:
            name = name_of[segment["category_id"]]
            wanted_names[ids == segment["id"]] = name
            if name in thing_names and not segment["iscrowd"]:
                wanted_things.append((name, (ids == segment["id"]).tobytes()))
        lookup = np.array([*classes, *[""] * (256 - len(classes))], object)
        assert (lookup[item["gt_seg_map"]] == wanted_names).all()
        loaded = [
            (classes[label], mask.astype(bool).tobytes())
            for label, mask in zip(item["gt_bboxes_labels"], item["gt_masks"].masks, strict=True)
        ]
        assert sorted(loaded) == sorted(wanted_things)
        for label, box, mask in zip(
            item["gt_bboxes_labels"], item["gt_bboxes"].numpy(), item["gt_masks"].masks, strict=True
        ):
            assert classes[label] in dataset.metainfo["thing_classes"]
            rows, columns = np.nonzero(mask)
            tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            # CamVid's and COCO's own boxes are tight to within a pixel.
            np.testing.assert_allclose(box, tight, atol=1.01)


def check_names(dataset, things: tuple, stuff: tuple, ann_file: Path) -> None:
    meta = dataset.metainfo
    assert meta["thing_classes"] == things and meta["stuff_classes"] == stuff
    assert meta["classes"] == things + stuff
    assert len(meta["palette"]) == len(set(meta["palette"])) == len(meta["classes"])
    categories = json.loads(ann_file.read_text())["categories"]
    for category in categories:
        label = dataset.cat2label[category["id"]]
        assert meta["classes"][label] == category["name"]
        assert (label < len(things)) == bool(category["isthing"])
        assert meta["palette"][label] == tuple(category["color"])
    assert sorted(dataset.cat2label.values()) == list(range(len(categories)))


@pytest.mark.slow
@needs_camvid
def test_camvid_labels_and_pixels(mmdet_scope):
    dataset = build_from_config("camvid", "train_dataloader", CAMVID)
    stuff = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence")
    ann_file = CAMVID / "annotations" / "panoptic_train.json"
    check_names(dataset, ("car", "pedestrian", "bicyclist"), stuff, ann_file)
    truth = build_camvid_truth()
    check_pixels(truth, ann_file, CAMVID / "annotations" / "panoptic_train", limit=20)
    assert len(build_from_config("camvid", "val_dataloader", CAMVID)) == 101


def build_camvid_truth():
    return build(
        CAMVID,
        ann_file="annotations/panoptic_train.json",
        data_prefix=dict(img="train/", seg="annotations/panoptic_train/"),
    )


def build_coco(kind="mmproscale.PanopticDataset"):
    return build(
        COCO_SAMPLE,
        type=kind,
        ann_file="panoptic_examples.json",
        data_prefix=dict(img="images/", seg="panoptic_val2017/"),
    )


@needs_coco
def test_coco_labels_and_pixels():
    dataset = build_coco()
    stock = CocoPanopticDataset.METAINFO
    ann_file = COCO_SAMPLE / "panoptic_examples.json"
    check_names(dataset, stock["thing_classes"], stock["stuff_classes"], ann_file)
    assert len(stock["thing_classes"]) == 80 and len(dataset.metainfo["classes"]) == 133
    assert dataset.metainfo["palette"] == stock["palette"]
    check_pixels(dataset, ann_file, COCO_SAMPLE / "panoptic_val2017", limit=2)


@needs_coco
def test_coco_items_equal_stock():
    ours, stock = build_coco(), build_coco("mmdet.CocoPanopticDataset")
    for index in range(2):
        theirs = stock.get_data_info(index)
        for segment in theirs["segments_info"]:
            segment["is_thing"] = bool(segment["is_thing"])
        item = ours.get_data_info(index)
        for segment in item["segments_info"]:  # what LoadPanoptic compares with the PNG
            del segment["area"], segment["bbox"]
        assert item == theirs


def test_shapes_labels_and_pixels(shapes_root, mmdet_scope):
    dataset = build_from_config("shapes", "train_dataloader", shapes_root)
    ann_file = shapes_root / "annotations" / "panoptic_train.json"
    check_names(dataset, THINGS, STUFF, ann_file)
    png_folder = shapes_root / "annotations" / "panoptic_train"
    dataset.pipeline.transforms = dataset.pipeline.transforms[:2]
    check_pixels(dataset, ann_file, png_folder, limit=40)


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader"])
def test_shapes_config_packs_items(shapes_root, mmdet_scope, loader):
    item = build_from_config("shapes", loader, shapes_root)[0]
    assert item["inputs"].shape == (3, 128, 128)
    truth = item["data_samples"].gt_instances
    if loader == "train_dataloader":
        assert len(truth.labels) == len(truth.masks) > 0
        assert item["data_samples"].gt_sem_seg.sem_seg.shape == (1, 128, 128)


def test_coco_config_keeps_the_recipe():
    config = Config.fromfile(REPO / "configs" / "_base_" / "datasets" / "coco_panoptic.py")
    resize, crop = config.train_pipeline[3], config.train_pipeline[4]
    assert (resize.scale, resize.ratio_range) == ((1024, 1024), (0.1, 2.0))
    assert crop.crop_size == (1024, 1024) and crop.allow_negative_crop
    assert config.test_pipeline[1].scale == (1333, 800)


def test_things_come_first_and_ids_may_have_gaps(tmp_path):
    write_tiny(tmp_path)
    dataset = build(tmp_path)
    assert dataset.metainfo["classes"] == ("cow", "grass", "sky")
    assert dataset.cat2label == {3: 0, 7: 1, 9: 2}
    palette = dataset.metainfo["palette"]
    assert palette[1] == (1, 2, 3) and len(set(palette)) == 3


def test_png_is_found_by_the_annotations_file_name(tmp_path):
    write_tiny(tmp_path)
    item = build(tmp_path)[0]
    assert Path(item["seg_map_path"]).name == "truth_0.png"
    assert item["gt_seg_map"][0].tolist() == [1, 0, 255, 255, 255, 255]


def test_stuff_only_images_stay_and_empty_ones_go(tmp_path):
    write_tiny(tmp_path, [[(1, 7, 0)], [], [(2, 3, 0)]])
    dataset = build(tmp_path)
    assert [dataset.get_data_info(i)["img_id"] for i in range(len(dataset))] == [0, 2]
    stuff_only = dataset[0]
    assert len(stuff_only["gt_masks"]) == 0 and stuff_only["gt_bboxes"].shape == (0, 4)
    assert len(build(tmp_path, filter_cfg=None)) == 3
    assert len(build(tmp_path, test_mode=True)) == 3


def test_a_stuff_only_image_passes_the_coco_pipeline(tmp_path, mmdet_scope):
    write_tiny(tmp_path, [[(1, 7, 0)]])
    config = Config.fromfile(REPO / "configs" / "_base_" / "datasets" / "coco_panoptic.py")
    item = build(tmp_path, pipeline=config.train_pipeline)[0]
    assert set(item["data_samples"].gt_sem_seg.sem_seg.unique().tolist()) <= {1, 255}


def test_a_crowd_is_in_the_map_but_no_instance(tmp_path):
    write_tiny(tmp_path, [[(1, 3, 1), (2, 3, 0)]])
    item = build(tmp_path)[0]
    assert [s["is_thing"] for s in item["segments_info"]] == [False, True]
    assert len(item["gt_masks"]) == len(item["gt_bboxes_labels"]) == 1
    assert item["gt_masks"].masks[0][:, 1].all()
    assert item["gt_seg_map"][0, :3].tolist() == [0, 0, 255]


@pytest.mark.slow
def test_images_without_annotation_are_for_tests_only(tmp_path):
    content = write_tiny(tmp_path)
    del content["annotations"][0]
    write_json(tmp_path, content)
    assert [build(tmp_path, filter_cfg=None)[0]["img_id"]] == [1]
    del content["annotations"]
    write_json(tmp_path, content)
    test = build(tmp_path, test_mode=True, data_prefix=dict(img="images/"))
    assert len(test) == 2 and "gt_masks" not in test[0]


def test_config_may_state_the_classes_in_any_order(tmp_path):
    write_tiny(tmp_path)
    dataset = build(tmp_path, metainfo=dict(classes=("sky", "grass", "cow"), note="kept"))
    assert dataset.metainfo["classes"] == ("cow", "grass", "sky")
    assert dataset.metainfo["note"] == "kept"


@pytest.mark.parametrize(
    ("metainfo", "parts"),
    [
        (dict(classes=("horse", "grass", "sky")), (r"metainfo\.classes", "horse", "cow")),
        (dict(thing_classes=("cow", "grass")), (r"metainfo\.thing_classes", "grass")),
    ],
)
def test_classes_of_the_config_that_the_file_lacks_are_refused(tmp_path, metainfo, parts):
    write_tiny(tmp_path)
    with pytest.raises(InputError, match=r"\A\[classes-differ\] " + ".*".join(("", *parts))):
        build(tmp_path, metainfo=metainfo)
