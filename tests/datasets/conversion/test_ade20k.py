"""ADEChallengeData2016's layout, in a few pixels, becomes COCO panoptic."""

import numpy as np
import pytest
from helpers.panoptic_files import check_sample, picture, read_truth, save, training_samples

from mmproscale.datasets.conversion.ade20k import ade20k_categories, class_of_instance

WALL, SKY, BED, PERSON, FLAG = 1, 3, 8, 13, 150
#        wall  sky  bed 1  bed 2  person 3  flag 255  void  bed without instance  instance on wall
SEMANTIC = [WALL, SKY, BED, BED, PERSON, FLAG, 0, BED, WALL]
CLASS = [0, 0, 1, 1, 4, 100, 0, 0, 4]
NUMBER = [0, 0, 1, 2, 3, 255, 0, 0, 7]
EXPECTED = [WALL, SKY, BED, BED, PERSON, FLAG, 0, 0, PERSON]


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "ADEChallengeData2016"
    for folder, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        picture(root / "images" / folder / f"{name}.jpg", 6, 9)
        save(root / "annotations" / folder / f"{name}.png", np.tile(SEMANTIC, (6, 1)))
        maps = np.stack([np.tile(v, (6, 1)) for v in (CLASS, NUMBER, [0] * 9)], -1)
        save(root / "annotations_instance" / folder / f"{name}.png", maps)
    return root


def test_classes_are_those_of_the_challenge():
    categories = {category["id"]: category for category in ade20k_categories()}
    assert list(categories) == list(range(1, 151))
    assert sum(category["isthing"] for category in categories.values()) == 100
    named = {1: "wall", 8: "bed", 13: "person", 21: "car", 127: "animal", 150: "flag"}
    assert {number: categories[number]["name"] for number in named} == named
    assert categories[1]["color"] == [120, 120, 120] and categories[150]["color"] == [92, 0, 255]


def test_instance_classes_are_the_things_in_order():
    things = [category["id"] for category in ade20k_categories() if category["isthing"]]
    assert class_of_instance().tolist() == [0, *things]
    assert class_of_instance()[[1, 4, 9, 83, 100]].tolist() == [8, 13, 21, 128, 150]


def test_pngs_and_json_hold_the_same_labels_and_instances(root, run_tool):
    status, out, err = run_tool("datasets/ade20k.py", root, "--workers", 2)
    assert status == 0, err
    assert "1 image, 7 segments, 100 things and 50 stuff classes" in out
    for split in ("train", "val"):
        folder = root / f"ade20k_panoptic_{split}"
        (name, truth), *others = read_truth(folder.with_suffix(".json"), folder).items()
        assert (name, others) == (f"ADE_{split}_00000001", [])
        assert truth.image["file_name"] == f"{name}.jpg"
        assert (truth.categories == EXPECTED).all() and not truth.crowd.any()
        assert (truth.ids == np.add(EXPECTED, np.multiply(NUMBER, 256))).all()


def test_a_training_sample_has_the_right_labels(root, run_tool):
    run_tool("datasets/ade20k.py", root, "--splits", "train")
    classes, samples = training_samples("m2f_r50_ade20k.py", root)
    assert (classes[0], classes[99], classes[100]) == ("bed", "flag", "wall")
    for sample in samples:
        check_sample(classes, sample, {"bed", "person", "flag"}, {"wall", "sky"}, (640, 640))
    assert any(len(sample["data_samples"].gt_instances) for sample in samples)


def _no_instances(semantic, instance):
    instance.unlink()


def _class_151(semantic, instance):
    save(semantic, np.full((6, 9), 151))


def _instance_class_101(semantic, instance):
    save(instance, np.full((6, 9, 3), 101))


def _grey_instances(semantic, instance):
    save(instance, np.ones((6, 9)))


def _other_size(semantic, instance):
    save(instance, np.ones((9, 9, 3)))


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (
            _no_instances,
            ("annotations_instance/training'", "1 of 1 images", "ADE_train_00000001.png"),
        ),
        (_class_151, ("annotations/training/ADE_train_00000001.png", "class 151")),
        (_instance_class_101, ("annotations_instance/", "class 101")),
        (_grey_instances, ("annotations_instance/", "not in colour")),
        (_other_size, ("annotations_instance/", "9x9", "ADE_train_00000001.jpg", "9x6")),
    ],
)
def test_a_fault_is_one_line_and_leaves_no_json(root, run_tool, spoil, parts):
    name = "training/ADE_train_00000001.png"
    spoil(root / "annotations" / name, root / "annotations_instance" / name)
    status, _, err = run_tool("datasets/ade20k.py", root, "--workers", 1)
    message = err[err.index("error: ") :]
    assert status == 2 and message.count("\n") == 1
    assert all(part in message for part in parts)
    assert not (root / "ade20k_panoptic_train.json").exists()


def test_a_folder_without_ade20k_is_refused(tmp_path, run_tool):
    status, _, err = run_tool("datasets/ade20k.py", tmp_path)
    assert status == 2 and "images/training" in err and err.count("\n") == 1


def test_a_missing_folder_of_maps_says_where_it_is_got(root, run_tool):
    (root / "annotations_instance").rename(root / "elsewhere")
    status, _, err = run_tool("datasets/ade20k.py", root, "--workers", 1)
    assert status == 2 and "annotations_instance/training' does not exist" in err
    assert "annotations_instance.tar" in err
