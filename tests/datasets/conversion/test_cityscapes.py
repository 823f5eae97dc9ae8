"""Cityscapes' layout, in a few pixels, becomes COCO panoptic; each fault is one line."""

import json
import shutil

import numpy as np
import pytest
from helpers.panoptic_files import check_sample, picture, read_truth, save, training_samples

from mmproscale.datasets.conversion.cityscapes import CATEGORIES

CAR, PERSON, BICYCLE, ROAD, SKY = 26, 24, 33, 7, 23
# Each value fills a column. Void: unlabelled, ego vehicle, parking, caravans, a trailer.
VALUES = [ROAD, SKY, 24000, 24001, CAR, 26002, 33000, 0, 1, 9, 29, 29001, 30000, ROAD, 11, 26000]
LABELS = [ROAD, SKY, PERSON, PERSON, CAR, CAR, BICYCLE, *[0] * 6, ROAD, 11, CAR]
NAMES = {
    "train": ["aachen_000000_000019", "zurich_000121_000019"],
    "val": ["frankfurt_000000_000294"],
}


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "cityscapes"
    for split, names in NAMES.items():
        for name in names:
            image, labels = paths(root, split, name)
            save(labels, np.tile(VALUES, (8, 1)), np.uint16)
            picture(image, 8, len(VALUES))
    return root


def paths(root, split, name):
    city = name.split("_")[0]
    return (
        root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png",
        root / "gtFine" / split / city / f"{name}_gtFine_instanceIds.png",
    )


def truth_of(root, split):
    folder = root / "gtFine" / f"cityscapes_panoptic_{split}"
    return read_truth(folder.with_suffix(".json"), folder)


@pytest.mark.slow
def test_pngs_and_json_hold_the_same_labels_and_instances(root, run_tool):
    status, out, err = run_tool("datasets/cityscapes.py", root, "--workers", 2)
    assert status == 0, err
    assert "cityscapes_panoptic_train.json: 2 images, 18 segments, 8 things and 11 stuff" in out
    assert "train" in err and "2/2" in err  # the progress bar
    for split, names in NAMES.items():
        truths = truth_of(root, split)
        assert list(truths) == names
        for name, truth in truths.items():
            assert (truth.categories == LABELS).all()
            assert (truth.ids == np.where(LABELS, VALUES, 0)).all()
            assert (truth.crowd == [value == CAR for value in VALUES]).all()
            city = name.split("_")[0]
            assert truth.image["file_name"] == f"{city}/{name}_leftImg8bit.png"
            assert (truth.image["height"], truth.image["width"]) == (8, len(VALUES))
            png = f"gtFine/cityscapes_panoptic_{split}/{name}_gtFine_panoptic.png"
            assert (root / png).is_file()


def test_classes_are_the_nineteen_with_their_colors():
    from mmseg.datasets import CityscapesDataset

    published = CityscapesDataset.METAINFO
    assert [c["name"] for c in CATEGORIES] == list(published["classes"])
    assert [c["color"] for c in CATEGORIES] == published["palette"]
    assert sum(c["isthing"] for c in CATEGORIES) == 8
    assert [c["isthing"] for c in CATEGORIES] == [0] * 11 + [1] * 8


def test_a_training_sample_has_the_right_labels(root, run_tool):
    run_tool("datasets/cityscapes.py", root, "--workers", 1)
    classes, samples = training_samples("m2f_r50_cityscapes.py", root)
    assert (classes[0], classes[7], classes[8], classes[18]) == ("person", "bicycle", "road", "sky")
    things, stuff = {"person", "car", "bicycle"}, {"road", "sky", "building"}
    for sample in samples:
        check_sample(classes, sample, things, stuff, (512, 1024))
    assert any(len(sample["data_samples"].gt_instances) for sample in samples)


def test_output_depends_only_on_the_files_and_is_kept(root, tmp_path, run_tool):
    again = shutil.copytree(root, tmp_path / "again")
    for place, workers in ((root, 2), (again, 1)):
        run_tool("datasets/cityscapes.py", place, "--splits", "train", "--workers", workers)
    written = sorted((root / "gtFine").glob("cityscapes*/*")) + [
        root / "gtFine/cityscapes_panoptic_train.json"
    ]
    assert len(written) == 3
    for path in written:
        assert path.read_bytes() == (again / path.relative_to(root)).read_bytes()

    json_path = written[-1]
    json_path.write_text("{}")
    _, out, _ = run_tool("datasets/cityscapes.py", root, "--splits", "train")
    assert "already there" in out and json_path.read_text() == "{}"
    run_tool("datasets/cityscapes.py", root, "--splits", "train", "--overwrite", "--workers", 1)
    assert len(json.loads(json_path.read_text())["images"]) == 2


def _unknown_value(image, labels):
    save(labels, np.full((8, 16), 40001), np.uint16)


def _stuff_with_number(image, labels):
    save(labels, np.full((8, 16), 7001), np.uint16)


def _empty_file(image, labels):
    labels.write_bytes(b"")


def _cut_short(image, labels):
    labels.write_bytes(labels.read_bytes()[:-30])


def _colored(image, labels):
    picture(labels, 8, 16)


def _other_size(image, labels):
    picture(image, 9, 16)


def _no_image(image, labels):
    image.unlink()


def _no_labels(image, labels):
    labels.unlink()


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (_unknown_value, ("instanceIds.png", "40001")),
        (_stuff_with_number, ("instanceIds.png", "7001")),
        (_empty_file, ("instanceIds.png", "cannot be read")),
        (_cut_short, ("instanceIds.png", "cannot be read")),
        (_colored, ("instanceIds.png", "3 dimensions")),
        (_other_size, ("instanceIds.png", "16x8", "leftImg8bit.png", "16x9")),
        (_no_image, ("instanceIds.png", "leftImg8bit.png")),
        (_no_labels, ("leftImg8bit.png", "instanceIds.png")),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_fault_is_one_line_and_leaves_no_json(root, run_tool, spoil, parts, workers):
    spoil(*paths(root, "train", NAMES["train"][1]))
    status, _, err = run_tool(
        "datasets/cityscapes.py", root, "--splits", "train", "--workers", workers
    )
    message = err[err.index("error: ") :]
    assert status == 2 and message.count("\n") == 1
    assert all(part in message for part in parts)
    assert not (root / "gtFine/cityscapes_panoptic_train.json").exists()


def test_a_folder_without_cityscapes_is_refused(tmp_path, run_tool):
    status, _, err = run_tool("datasets/cityscapes.py", tmp_path / "nowhere")
    assert status == 2 and "nowhere/gtFine/train" in err and err.count("\n") == 1
    status, _, err = run_tool("datasets/cityscapes.py", tmp_path, "--splits", "test")
    assert status == 2 and "'test'" in err


@pytest.mark.parametrize("side", ["gtFine", "leftImg8bit"])
def test_all_missing_counterparts_are_counted(root, run_tool, side):
    files = sorted((root / side / "train").glob("*/*_instanceIds.png"))
    files = files or sorted((root / side / "train").glob("*/*_leftImg8bit.png"))
    whole = len(files)
    files[0].rename(files[0].with_name("hidden.png"))
    (root / side / "train" / files[0].parent.name / f"._{files[0].name}").touch()
    status, _, err = run_tool("datasets/cityscapes.py", root, "--splits", "train", "--workers", 1)
    assert status == 2 and f"1 of {whole} files like" in err and files[0].name in err
