"""Each kind of malformed dataset: the check and the training path name it alike."""

import pytest
from helpers.malformations import IN_FILES, IN_JSON, JSON
from helpers.tiny_panoptic import build, write_json, write_tiny

from mmproscale.datasets.checks.dataset_check import DatasetFiles, check_dataset
from mmproscale.datasets.checks.dataset_report import DatasetReport
from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes
from mmproscale.errors import InputError


def check(root, **options) -> DatasetReport:
    files = DatasetFiles(str(root / JSON), str(root / "images"), str(root / "pngs"))
    return check_dataset(files, **options)


def found_and_refused(root, kind: str, file: str) -> None:
    """Expect that check and training path both report this kind of fault and name the file."""
    report = check(root)
    assert kind in report.faults, report.lines()
    assert any(file in fault.file for fault in report.faults[kind].first)
    assert all("\n" not in str(fault) for found in report.faults.values() for fault in found.first)
    with pytest.raises(InputError, match=rf"\A\[{kind}\] .*\Z") as caught:
        dataset = build(root)
        for index in range(len(dataset)):
            dataset[index]
    assert file in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "change"), IN_JSON, ids=[f"{i}-{kind}" for i, (kind, _) in enumerate(IN_JSON)]
)
def test_faults_of_the_json(tmp_path, kind, change):
    content = write_tiny(tmp_path)
    change(content)
    write_json(tmp_path, content)
    found_and_refused(tmp_path, kind, JSON)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "file", "change"), IN_FILES, ids=[f"{i}-{c[0]}" for i, c in enumerate(IN_FILES)]
)
def test_faults_of_the_files(tmp_path, kind, file, change):
    write_tiny(tmp_path)
    change(tmp_path)
    found_and_refused(tmp_path, kind, file)


def test_one_broken_thing_gives_one_fault(tmp_path):
    """A fault in one value brings no fault of another kind."""
    for place, (kind, change) in enumerate(IN_JSON):
        if kind.startswith(("box-", "area-", "iscrowd-", "category-unknown")):
            root = tmp_path / str(place)
            content = write_tiny(root)
            change(content)
            write_json(root, content)
            assert {k: f.count for k, f in check(root).faults.items()} == {kind: 1}
    for place, (kind, _, change) in enumerate(IN_FILES):
        root = tmp_path / f"files_{place}"
        write_tiny(root)
        change(root)
        assert list(check(root).faults) == [kind]


def test_a_valid_dataset_is_clean_and_counted(tmp_path):
    write_tiny(tmp_path, [[(1, 7, 0), (70000, 3, 1)], [(5, 9, 0)], []])
    report = check(tmp_path, workers=2)
    assert report.clean and list(report.notes) == [
        "stuff-first",
        "image-without-segments",
        "crowds",
    ]
    counts = report.counts
    assert counts["images"] == 3 and counts["segments"] == 3 and counts["crowd_segments"] == 1
    assert counts["segments_by_class"] == dict(grass=1, cow=0, sky=1)
    assert counts["images_without_things"] == 2
    assert counts["image_sizes"] == {"distinct": 1, "6x4": 3}
    assert counts["crowd_share"] == pytest.approx(4 / 72)
    assert counts["void_share"] == pytest.approx(60 / 72)


def test_only_so_many_of_a_kind_are_kept_but_all_are_counted(tmp_path):
    content = write_tiny(tmp_path, [[(1, 7, 0)]] * 6)
    for annotation in content["annotations"]:
        annotation["segments_info"][0]["area"] = 3
    write_json(tmp_path, content)
    (tmp_path / "images" / "5.jpg").unlink()
    report = check(tmp_path, limit=2, workers=2)
    area = report.faults["segment-area"]
    assert area.count == 6 and ["truth_0" in f.file for f in area.first] == [True, False]
    assert "    ... and 4 more" in report.lines()
    with pytest.raises(InputError, match=r"\A\[image-missing\] [^;]*\Z"):
        build(tmp_path)


def test_progress_counts_every_image(tmp_path):
    write_tiny(tmp_path, [[(1, 7, 0)]] * 3)
    seen = []
    check(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


COCO = ("coco_panoptic_sample", "panoptic_examples.json", "images", "panoptic_val2017")
CAMVID = ("camvid", "annotations/panoptic_val.json", "val", "annotations/panoptic_val")


@pytest.mark.parametrize(("folder", "ann", "img", "seg"), [COCO, CAMVID])
def test_real_datasets_are_clean(shared, folder, ann, img, seg):
    root = shared / "data" / folder
    report = check_dataset(DatasetFiles(str(root / ann), str(root / img), str(root / seg)))
    assert report.clean, report.lines()
    assert ("stuff-first" in report.notes) == (folder == "camvid")


def test_shapes_is_clean(tmp_path):
    make_shapes(tmp_path / "shapes", ShapesSpec(train=6, val=2, size=64))
    ann = tmp_path / "shapes" / "annotations" / "panoptic_train"
    report = check_dataset(
        DatasetFiles(f"{ann}.json", str(tmp_path / "shapes" / "train"), str(ann))
    )
    assert report.clean and report.counts["images"] == 6
