"""Files of predictions hold the prediction, by kind."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmproscale.datasets.formats.panoptic_png import read_png
from mmproscale.datasets.formats.rle import encode_mask
from mmproscale.errors import InputError
from mmproscale.inference.prediction_files import PredictionFolder
from mmproscale.inference.results import Instances, Result, Segment
from mmproscale.utils.atomic_files import atomic_path

CATEGORIES = [{"id": 10, "name": "disc", "isthing": 1}, {"id": 50, "name": "sand", "isthing": 0}]
SEMANTIC = np.repeat([[0, 1]], 60, axis=0).repeat(45, axis=1)
ID_MAP = (1 + SEMANTIC).astype(np.int32)
SEGMENTS = [
    Segment(1, 0, "disc", True, 0.9, 2700, (0, 0, 45, 60), 10),
    Segment(2, 1, "sand", False, None, 2700, (45, 0, 90, 60), 50),
]
DISC = (np.array([0]), ["disc"], np.array([0.5], np.float32), np.array([[0, 0, 45, 60]]), [10])
RESULTS = {
    "panoptic": {"panoptic": ID_MAP, "segments": SEGMENTS},
    "semantic": {"semantic": SEMANTIC},
    "instance": {"instances": Instances(*DISC, [encode_mask(SEMANTIC == 0)])},
    "boxes": {"instances": Instances(*DISC)},
}
IMAGES = [{"id": 7, "file_name": "photos/photo.png", "height": 60, "width": 90}]


def predicted(*kinds: str) -> Result:
    fields = {name: value for kind in kinds for name, value in RESULTS[kind].items()}
    image = np.full((60, 90, 3), 128, np.uint8)
    return Result(image, "photo", "photos/photo.png", CATEGORIES, **fields)


def written(folder, *kinds: str, **options):
    results = PredictionFolder(folder, CATEGORIES, kinds=kinds, **options)
    results.add(predicted(*kinds), 7)
    assert len(results) == 1 and results.finish()
    return folder


def files_in(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_pictures_also_show_the_ground_truth(tmp_path):
    class Truth:
        @staticmethod
        def panel(result):
            return "ground truth", ID_MAP, [dict(id=1, category_id=10)]

    folders = [
        written(tmp_path / str(n), "panoptic", truth=truth) for n, truth in enumerate((None, Truth))
    ]
    narrow, wide = (cv2.imread(str(folder / "pictures/photo.jpg")) for folder in folders)
    assert wide.shape[1] > 1.4 * narrow.shape[1]


def test_panoptic_files(tmp_path):
    folder = written(tmp_path / "out", "panoptic")
    assert files_in(folder) == [
        "panoptic.json",
        "panoptic/photo.png",
        "pictures/photo.jpg",
        "results.jsonl",
    ]
    content = json.loads((folder / "panoptic.json").read_text())
    assert content["images"] == IMAGES and content["categories"] == CATEGORIES
    assert content["annotations"] == [
        {"image_id": 7, "file_name": "photo.png", "segments_info": [s.to_coco() for s in SEGMENTS]}
    ]
    assert (read_png(folder / "panoptic" / "photo.png") == ID_MAP).all()
    assert min(cv2.imread(str(folder / "pictures" / "photo.jpg")).shape[:2]) >= 480


def test_semantic_files(tmp_path):
    folder = written(tmp_path / "out", "semantic")
    assert files_in(folder) == [
        "images.json",
        "pictures/photo.jpg",
        "results.jsonl",
        "semantic/photo.png",
    ]
    semantic = cv2.imread(str(folder / "semantic/photo.png"), cv2.IMREAD_UNCHANGED)
    assert semantic.dtype == np.uint8 and (semantic == np.array([10, 50])[SEMANTIC]).all()


def test_all_kinds_of_a_universal_model(tmp_path):
    folder = written(tmp_path / "out", "panoptic", "semantic", "instance")
    assert files_in(folder) == [
        "images.json",
        "instances.json",
        "panoptic.json",
        "panoptic/photo.png",
        "pictures/photo.jpg",
        "results.jsonl",
        "semantic/photo.png",
    ]
    (detection,) = json.loads((folder / "instances.json").read_text())
    assert detection["image_id"] == 7 and detection["category_id"] == 10
    assert (mask_utils.decode(detection["segmentation"]) == (SEMANTIC == 0)).all()
    content = json.loads((folder / "images.json").read_text())
    assert content == {"images": IMAGES, "categories": CATEGORIES}


def test_boxes(tmp_path):
    folder = written(tmp_path / "out", "boxes")
    assert files_in(folder) == [
        "detections.json",
        "images.json",
        "pictures/photo.jpg",
        "results.jsonl",
    ]
    assert json.loads((folder / "detections.json").read_text()) == [
        {"image_id": 7, "category_id": 10, "score": 0.5, "bbox": [0, 0, 45, 60]}
    ]


@pytest.mark.parametrize(
    ("kind", "pictures", "expected"),
    [
        ("instance", False, ["images.json", "instances.json", "results.jsonl"]),
        ("panoptic", False, ["panoptic.json", "panoptic/photo.png", "results.jsonl"]),
    ],
)
def test_results_without_pictures(tmp_path, kind, pictures, expected):
    folder = written(tmp_path / "out", kind, pictures=pictures)
    assert files_in(folder) == expected and not (folder / "pictures").exists()


def add_images(folder: PredictionFolder, places) -> None:
    for place in places:
        name = f"photo{place}"
        if name not in folder.done:
            one = replace(predicted("panoptic", "instance"), name=name)
            folder.add(one, place + 1, place)


def contents(folder) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_in(folder)}


def kept(folder, **options) -> PredictionFolder:
    return PredictionFolder(
        folder, CATEGORIES, pictures=False, kinds=("panoptic", "instance"), **options
    )


@pytest.mark.parametrize("cut", [0, 1, 40])
def test_an_interrupted_run_ends_in_the_same_bytes(tmp_path, cut):
    """The last line may be cut off, its image's files may be whole or not."""
    unbroken = kept(tmp_path / "unbroken")
    add_images(unbroken, range(6))
    unbroken.finish()
    add_images(kept(tmp_path / "broken"), range(3))
    log = tmp_path / "broken" / "results.jsonl"
    log.write_bytes(log.read_bytes()[: -cut or None])
    resumed = kept(tmp_path / "broken", resume=True)
    assert len(resumed) == (2 if cut else 3)
    add_images(resumed, range(6))
    resumed.finish()
    assert contents(tmp_path / "broken") == contents(tmp_path / "unbroken")


def test_a_finished_run_can_be_resumed_without_change(tmp_path):
    folder = kept(tmp_path)
    add_images(folder, range(2))
    folder.finish()
    before = contents(tmp_path)
    resumed = kept(tmp_path, resume=True)
    assert len(resumed) == 2
    resumed.finish()
    assert contents(tmp_path) == before


def test_temporary_files_of_a_killed_run_are_removed(tmp_path):
    killed = subprocess.Popen([sys.executable, "-c", "pass"])
    killed.wait()
    folder = kept(tmp_path)
    add_images(folder, range(1))
    mine = f"-{os.getpid()}.tmp"
    with atomic_path(tmp_path / "panoptic" / "a.png") as temporary:
        assert mine in temporary.name
        left = temporary.with_name(temporary.name.replace(mine, f"-{killed.pid}.tmp"))
        left.touch()
        temporary.touch()
        kept(tmp_path, resume=True)
        assert not left.exists() and temporary.exists(), "that of a living process stays"


def test_without_resume_the_log_starts_again(tmp_path):
    add_images(kept(tmp_path), range(3))
    assert len(kept(tmp_path)) == 0


def test_results_of_other_settings_are_not_continued(tmp_path):
    add_images(kept(tmp_path, settings={"checkpoint": "a.pth"}), range(1))
    message = r"results\.jsonl was written with checkpoint=\"a\.pth\", not \"b\.pth\""
    with pytest.raises(InputError, match=message):
        kept(tmp_path, settings={"checkpoint": "b.pth"}, resume=True)


def test_the_last_shard_makes_the_files_of_all(tmp_path):
    whole = kept(tmp_path / "whole")
    add_images(whole, range(7))
    whole.finish()
    for number in (3, 1, 2):
        part = kept(tmp_path / "parts", shard=(number, 3))
        add_images(part, range(number - 1, 7, 3))
        assert part.finish() == (number == 2), "the last to end"
    for name in ("panoptic.json", "instances.json", "images.json"):
        expected = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "parts" / name).read_bytes() == expected


def test_ids_that_a_semantic_png_can_not_hold_are_refused_at_once(tmp_path):
    categories = [dict(id=65536, name="cat", isthing=1)]
    with pytest.raises(InputError, match=r"category id 65536 .*leave 'semantic' out of --kinds"):
        PredictionFolder(tmp_path / "out", categories, kinds=["semantic"])
    PredictionFolder(tmp_path / "out", categories, kinds=["panoptic"])
