"""Files of predictions hold the prediction, by kind."""

import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmproscale.datasets.formats.panoptic_png import read_png
from mmproscale.datasets.formats.rle import encode_mask
from mmproscale.inference.prediction_files import PredictionFolder
from mmproscale.inference.results import Instances, Result, Segment

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
    assert len(results) == 1
    return results.finish()


def files_in(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_panoptic_files(tmp_path):
    folder = written(tmp_path / "out", "panoptic")
    assert files_in(folder) == ["panoptic.json", "panoptic/photo.png", "pictures/photo.jpg"]
    content = json.loads((folder / "panoptic.json").read_text())
    assert content["images"] == IMAGES and content["categories"] == CATEGORIES
    assert content["annotations"] == [
        {"image_id": 7, "file_name": "photo.png", "segments_info": [s.to_coco() for s in SEGMENTS]}
    ]
    assert (read_png(folder / "panoptic" / "photo.png") == ID_MAP).all()
    assert min(cv2.imread(str(folder / "pictures" / "photo.jpg")).shape[:2]) >= 480


def test_semantic_files(tmp_path):
    folder = written(tmp_path / "out", "semantic")
    assert files_in(folder) == ["images.json", "pictures/photo.jpg", "semantic/photo.png"]
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
        "semantic/photo.png",
    ]
    (detection,) = json.loads((folder / "instances.json").read_text())
    assert detection["image_id"] == 7 and detection["category_id"] == 10
    assert (mask_utils.decode(detection["segmentation"]) == (SEMANTIC == 0)).all()
    content = json.loads((folder / "images.json").read_text())
    assert content == {"images": IMAGES, "categories": CATEGORIES}


def test_boxes(tmp_path):
    folder = written(tmp_path / "out", "boxes")
    assert files_in(folder) == ["detections.json", "images.json", "pictures/photo.jpg"]
    assert json.loads((folder / "detections.json").read_text()) == [
        {"image_id": 7, "category_id": 10, "score": 0.5, "bbox": [0, 0, 45, 60]}
    ]


@pytest.mark.parametrize(
    ("kind", "pictures", "expected"),
    [
        ("instance", False, ["images.json", "instances.json"]),
        ("panoptic", False, ["panoptic.json", "panoptic/photo.png"]),
    ],
)
def test_results_without_pictures(tmp_path, kind, pictures, expected):
    folder = written(tmp_path / "out", kind, pictures=pictures)
    assert files_in(folder) == expected and not (folder / "pictures").exists()
