"""A user's semantic and instance maps become COCO panoptic."""

import json

import numpy as np
import pytest
from helpers.panoptic_files import picture, read_truth, save
from PIL import Image

from mmproscale.registry import DATASETS

ROAD, CAR, SKY = 0, 4, 300
CLASSES = [
    dict(id=ROAD, name="road", isthing=0, color=[9, 8, 7]),
    dict(id=CAR, name="car", isthing=1),
    dict(id=SKY, name="sky", isthing=False),
]
#           road  car 1  car 2  cars  void  road  sky
SEMANTIC = [ROAD, CAR, CAR, CAR, 255, ROAD, SKY]
NUMBERS = [5, 1, 70000, 0, 3, 0, 1]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    numbers = np.tile(NUMBERS, (4, 1))
    colors = np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16], -1)
    for name in ("10", "sub/9"):
        picture(tmp_path / f"images/{name}.jpg", 4, 7)
        save(tmp_path / f"semantic/{name}_label.png", np.tile(SEMANTIC, (4, 1)), np.uint16)
        save(tmp_path / f"instance/{name}.png", colors)
    return tmp_path


def convert(run_tool, files, *options):
    folders = [f"--{kind}={files / kind}" for kind in ("images", "semantic", "instance")]
    more = [f"--classes={files / 'classes.json'}", "--semantic-suffix", "_label.png"]
    out = ["--out", files / "mine", "--workers", 1]
    return run_tool("datasets/from_maps.py", *folders, *more, *out, *options)


def test_segments_are_classes_and_numbers(files, run_tool):
    status, out, err = convert(run_tool, files)
    assert status == 0, err
    assert "2 images, 10 segments, 1 thing and 2 stuff" in out
    stem = files / "mine/annotations/panoptic_train"
    for truth in read_truth(stem.with_suffix(".json"), stem).values():
        # Road is category 0, so only its id tells it from void.
        assert (truth.categories == [ROAD, CAR, CAR, CAR, 0, ROAD, SKY]).all()
        assert ((truth.ids == 0) == (np.array(SEMANTIC) == 255)).all()
        assert (truth.crowd == [False, False, False, True, False, False, False]).all()
        assert (truth.ids[0, 0], len(np.unique(truth.ids))) == (truth.ids[0, 5], 6)
    assert json.loads(stem.with_suffix(".json").read_text())["categories"][0]["color"] == [9, 8, 7]


def test_our_dataset_reads_it(files, run_tool):
    convert(run_tool, files, "--copy-images")
    dataset = DATASETS.build(
        dict(
            type="mmproscale.PanopticDataset",
            data_root=str(files / "mine"),
            ann_file="annotations/panoptic_train.json",
            data_prefix=dict(img="train/", seg="annotations/panoptic_train/"),
            pipeline=[dict(type="mmproscale.LoadImage"), dict(type="mmproscale.LoadPanoptic")],
        )
    )
    assert dataset.metainfo["classes"] == ("car", "road", "sky")
    for item in (dataset[0], dataset[1]):
        assert (item["gt_seg_map"] == [1, 0, 0, 0, 255, 1, 2]).all()
        assert item["gt_bboxes"].tensor.tolist() == [[1, 0, 2, 4], [2, 0, 3, 4]]


def test_a_palette_is_read_as_its_indices(files, run_tool):
    indexed = Image.fromarray(np.tile([ROAD, CAR, CAR, CAR, 255, ROAD, ROAD], (4, 1)).astype("u1"))
    indexed.putpalette([200, 10, 90] * 256)
    for name in ("10", "sub/9"):
        indexed.save(files / f"semantic/{name}_label.png")
    assert convert(run_tool, files)[0] == 0
    stem = files / "mine/annotations/panoptic_train"
    truth = next(iter(read_truth(stem.with_suffix(".json"), stem).values()))
    assert (truth.categories == [ROAD, CAR, CAR, CAR, 0, ROAD, ROAD]).all()


def _no_class(files):
    (files / "classes.json").write_text(json.dumps(CLASSES[:2]))


def _ignored_class(files):
    (files / "classes.json").write_text(json.dumps([CLASSES[0] | {"id": 255}]))


def _no_map(files):
    (files / "instance/sub/9.png").unlink()


def _two_of_a_name(files):
    # In the order of names, 10.k.jpg lies between the two.
    for name in ("10.png", "10.k.jpg"):
        picture(files / "images" / name, 4, 7)


def _no_images(files):
    (files / "images").rename(files / "elsewhere")


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (_no_class, ("_label.png", "300 (4 pixels)", "--ignore")),
        (_ignored_class, ("--ignore 255",)),
        (_no_map, ("instance map", "sub/9.png", "does not exist")),
        (_two_of_a_name, ("several images", "'10'")),
        (_no_images, ("no image in", "images")),
    ],
)
def test_a_fault_is_one_line_and_leaves_no_json(files, run_tool, spoil, parts):
    spoil(files)
    status, _, err = convert(run_tool, files)
    message = err[err.index("error: ") :]
    assert status == 2 and message.count("\n") == 1
    assert all(part in message for part in parts), message
    assert not (files / "mine/annotations/panoptic_train.json").exists()


def test_hidden_files_are_no_images(files, run_tool):
    (files / "images/._10.jpg").write_bytes(b"\x00\x05\x16\x07")
    (files / "images/.ipynb_checkpoints").mkdir()
    picture(files / "images/.ipynb_checkpoints/10-checkpoint.jpg", 4, 7)
    status, out, err = convert(run_tool, files)
    assert status == 0 and "wrote" in out and ": 2 images" in out, err


def test_void_that_is_large_and_classes_in_no_map_are_said(files, run_tool):
    for name in ("10", "sub/9"):
        classes = np.tile([ROAD, 255, 255, 255, 255, ROAD, 9], (4, 1))
        save(files / f"semantic/{name}_label.png", classes)
    status, out, err = convert(run_tool, files, "--ignore", 255, 9)
    assert status == 0, err
    assert "warning: 2 of 3 classes occur in no image: 'car', 'sky'" in out
    assert "warning: value 255 covers 57% of the pixels, which are void" in out
    assert "value 9" not in out
    assert out.splitlines()[-1].startswith("2 shapes drawn, 6 left no pixel (6 on void, first: ")


def test_things_without_numbers_are_said_to_be_crowds(files, run_tool):
    for name in ("10", "sub/9"):
        save(files / f"instance/{name}.png", np.zeros((4, 7)))
    status, out, err = convert(run_tool, files)
    assert status == 0, err
    assert "2 of the segments are crowds" in out and "'car' occurs as crowd only" in out


def test_every_unknown_value_is_named_with_its_pixels(files, run_tool):
    for name in ("10", "sub/9"):
        save(files / f"semantic/{name}_label.png", np.tile([7, 7, 8, 0, 0, 0, 0], (4, 1)))
    status, _, err = convert(run_tool, files)
    assert status == 2 and err.count("7 (8 pixels), 8 (4 pixels)") >= 2
    assert not (files / "mine").exists()
